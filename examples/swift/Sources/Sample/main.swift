// SPDX-License-Identifier: Apache-2.0
// Streams an answer to the first argument.
import CModel
import Foundation

func fail(_ message: [CChar]) -> Never {
    FileHandle.standardError.write(Data((String(cString: message) + "\n").utf8))
    exit(1)
}

var message = [CChar](repeating: 0, count: 256)
var model: OpaquePointer?
var session: OpaquePointer?
guard model_open("model/model.weights", &model, &message, message.count) == LFM_OK,
      lfm_session_create(model, nil, &session, &message, message.count) == LFM_OK
else { fail(message) }

let question = CommandLine.arguments.dropFirst().first ?? "Why is the sky blue?"
var tokens = [Int32](repeating: 0, count: question.utf8.count + 64)
var count = 0
let status: lfm_status = "user".withCString { role in
    question.withCString { text in
        var turn = lfm_chat_message(role: role, content: text)
        var options = lfm_chat_options()
        options.flags = UInt32(LFM_CHAT_GENERATE)
        return lfm_chat_tokenize(lfm_model_tokenizer(model), &turn, 1, &options, &tokens,
                                 tokens.count, &count)
    }
}
guard status == LFM_OK else { fail(Array("cannot tokenize".utf8CString)) }
let done = lfm_generate(session, tokens, count, nil, { _, _, text, bytes in
    fwrite(text, 1, bytes, stdout)
    return fflush(stdout)
}, nil, nil)
if done != LFM_OK { print(String(cString: lfm_session_message(session))) }
lfm_session_destroy(session)
lfm_model_close(model)
