// SPDX-License-Identifier: Apache-2.0
package lfm

import android.app.Activity
import android.os.Bundle
import android.widget.ScrollView
import android.widget.TextView
import java.io.File
import kotlin.concurrent.thread

/** Asks one question and shows the answer as it comes. */
class MainActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        val view = TextView(this)
        setContentView(ScrollView(this).apply { addView(view) })
        val weights = File(getExternalFilesDir(null), "model.weights").path
        thread {
            try {
                Model(weights).use { model ->
                    model.chat("Why is the sky blue?") { text ->
                        runOnUiThread { view.append(text) }
                        !isFinishing
                    }
                }
            } catch (error: IllegalStateException) {
                runOnUiThread { view.append(error.message) }
            }
        }
    }
}
