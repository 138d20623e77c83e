// SPDX-License-Identifier: Apache-2.0
package lfm

/** A compiled model with one conversation. Not for several threads at once. */
class Model(weights: String) : AutoCloseable {
    /** Gets UTF-8 bytes of whole characters; false ends the answer. */
    fun interface Listener {
        fun onText(bytes: ByteArray): Boolean
    }

    private var handle = open(weights)

    fun chat(question: String, onText: (String) -> Boolean) =
        chat(handle, question.toByteArray()) { onText(String(it)) }

    override fun close() {
        if (handle != 0L) close(handle)
        handle = 0
    }

    companion object {
        init { System.loadLibrary("lfm_jni") }
        @JvmStatic private external fun open(weights: String): Long
        @JvmStatic private external fun close(handle: Long)
        @JvmStatic private external fun chat(handle: Long, question: ByteArray, listener: Listener)
    }
}
