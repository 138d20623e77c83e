// SPDX-License-Identifier: Apache-2.0
//
// lfm.Model (Model.kt) on the C interface. A handle is a Java long; errors
// become IllegalStateException.
#include "model.h"

#include <jni.h>

#include <stdlib.h>
#include <string.h>

namespace {

struct Handle {
  lfm_model *model;
  lfm_session *session;
};

void raise(JNIEnv *env, const char *message) {
  env->ThrowNew(env->FindClass("java/lang/IllegalStateException"), message);
}

struct Listener {
  JNIEnv *env;
  jobject object;
  jmethodID method;
};

// Bytes, since JNI's strings are no UTF-8.
int piece(void *user, int32_t, const char *text, size_t bytes) {
  auto *to = static_cast<Listener *>(user);
  jbyteArray array = to->env->NewByteArray(static_cast<jsize>(bytes));
  if (!array)
    return 1;
  to->env->SetByteArrayRegion(array, 0, static_cast<jsize>(bytes),
                              reinterpret_cast<const jbyte *>(text));
  jboolean more = to->env->CallBooleanMethod(to->object, to->method, array);
  to->env->DeleteLocalRef(array);
  return to->env->ExceptionCheck() || !more;
}

} // namespace

extern "C" JNIEXPORT jlong JNICALL Java_lfm_Model_open(JNIEnv *env, jclass,
                                                       jstring weights) {
  const char *path = env->GetStringUTFChars(weights, nullptr);
  char message[256] = "";
  Handle handle = {};
  lfm_status status = model_open(path, &handle.model, message, sizeof message);
  if (status == LFM_OK)
    status = lfm_session_create(handle.model, nullptr, &handle.session, message,
                                sizeof message);
  env->ReleaseStringUTFChars(weights, path);
  auto *result = static_cast<Handle *>(malloc(sizeof handle));
  if (status == LFM_OK && result) {
    *result = handle;
    return reinterpret_cast<jlong>(result);
  }
  free(result);
  lfm_model_close(handle.model);
  raise(env, message);
  return 0;
}

extern "C" JNIEXPORT void JNICALL Java_lfm_Model_close(JNIEnv *, jclass,
                                                       jlong value) {
  auto *handle = reinterpret_cast<Handle *>(value);
  lfm_session_destroy(handle->session);
  lfm_model_close(handle->model);
  free(handle);
}

extern "C" JNIEXPORT void JNICALL Java_lfm_Model_chat(JNIEnv *env, jclass,
                                                      jlong value,
                                                      jbyteArray question,
                                                      jobject listener) {
  auto *handle = reinterpret_cast<Handle *>(value);
  const jsize bytes = env->GetArrayLength(question);
  auto *text = static_cast<char *>(calloc(1, static_cast<size_t>(bytes) + 1));
  const size_t most = static_cast<size_t>(bytes) + 64;
  auto *tokens = static_cast<int32_t *>(malloc(most * sizeof(int32_t)));
  if (!text || !tokens) {
    free(text);
    free(tokens);
    return raise(env, "no memory for the question");
  }
  env->GetByteArrayRegion(question, 0, bytes, reinterpret_cast<jbyte *>(text));
  lfm_chat_message turn = {"user", text};
  lfm_chat_options options = {};
  options.flags = LFM_CHAT_GENERATE;
  size_t count = 0;
  lfm_status status =
      lfm_chat_tokenize(lfm_model_tokenizer(handle->model), &turn, 1, &options,
                        tokens, most, &count);
  if (status != LFM_OK) {
    raise(env, lfm_status_string(status));
  } else {
    Listener to = {
        env, listener,
        env->GetMethodID(env->GetObjectClass(listener), "onText", "([B)Z")};
    lfm_session_reset(handle->session);
    status = lfm_generate(handle->session, tokens, count, nullptr, piece, &to,
                          nullptr);
    if (status != LFM_OK && !env->ExceptionCheck())
      raise(env, lfm_session_message(handle->session));
  }
  free(tokens);
  free(text);
}
