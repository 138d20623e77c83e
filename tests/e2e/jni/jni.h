/* SPDX-License-Identifier: Apache-2.0
 *
 * Of the Java Native Interface what examples/android calls, for compiling and
 * linking it without an NDK; nothing that a virtual machine could run. */
#ifndef LFMC_TESTS_E2E_JNI_H
#define LFMC_TESTS_E2E_JNI_H

#include <stdint.h>

#define JNIEXPORT __attribute__((visibility("default")))
#define JNICALL

typedef uint8_t jboolean;
typedef int8_t jbyte;
typedef int32_t jint, jsize;
typedef int64_t jlong;
class _jobject {};
class _jclass : public _jobject {};
class _jstring : public _jobject {};
class _jbyteArray : public _jobject {};
typedef _jobject *jobject;
typedef _jclass *jclass;
typedef _jstring *jstring;
typedef _jbyteArray *jbyteArray;
typedef struct _jmethodID *jmethodID;

struct JNIEnv {
  virtual jclass FindClass(const char *name) = 0;
  virtual jclass GetObjectClass(jobject object) = 0;
  virtual jmethodID GetMethodID(jclass type, const char *name,
                                const char *signature) = 0;
  virtual jboolean CallBooleanMethod(jobject object, jmethodID, ...) = 0;
  virtual jint ThrowNew(jclass type, const char *message) = 0;
  virtual jboolean ExceptionCheck() = 0;
  virtual void DeleteLocalRef(jobject object) = 0;
  virtual const char *GetStringUTFChars(jstring string, jboolean *copied) = 0;
  virtual void ReleaseStringUTFChars(jstring string, const char *chars) = 0;
  virtual jsize GetArrayLength(jbyteArray array) = 0;
  virtual jbyteArray NewByteArray(jsize length) = 0;
  virtual void GetByteArrayRegion(jbyteArray array, jsize first, jsize count,
                                  jbyte *to) = 0;
  virtual void SetByteArrayRegion(jbyteArray array, jsize first, jsize count,
                                  const jbyte *from) = 0;
};

#endif /* LFMC_TESTS_E2E_JNI_H */
