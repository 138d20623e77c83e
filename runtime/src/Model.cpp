// SPDX-License-Identifier: Apache-2.0
#include "Model.h"

#include "Cpu.h"
#include "Session.h"
#include "Support.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lfm_rt;

namespace {

struct File {
  int handle = -1;
  ~File() {
    if (handle >= 0)
      close(handle);
  }
};

// The best of a library's levels that this processor runs.
const lfm_program &bestLevel(const lfm_program &p) {
  bool complete = p.abi == LFM_PROGRAM_ABI && p.bytes == sizeof(lfm_program) &&
                  (p.levels || !p.level_count);
  for (int32_t i = 0; complete && i < p.level_count; ++i) {
    uint32_t needs = p.levels[i]->cpu_features;
    if ((needs & ~cpuFeatures(needs)) == 0)
      return *p.levels[i];
  }
  return p;
}

// Both entries of a prompt and their rows, or neither.
bool promptFits(const lfm_program &p) {
  if (!p.prompt && !p.prompt_end)
    return p.prompt_rows == 0;
  return p.prompt && p.prompt_end && p.prompt_rows > 0 &&
         p.prompt_rows < p.max_prefill;
}

lfm_status checkProgram(const lfm_program &p, const Message &message) {
  const char *name = p.name ? p.name : "(unnamed)";
  if (p.abi != LFM_PROGRAM_ABI || p.bytes != sizeof(lfm_program))
    return message.fail(LFM_ERROR_ABI,
                        "model %s: compiled for runtime ABI %u (%u bytes), this"
                        " runtime has %u (%zu bytes)",
                        p.abi == LFM_PROGRAM_ABI ? name : "(unknown)", p.abi,
                        p.bytes, LFM_PROGRAM_ABI, sizeof(lfm_program));
  bool complete = p.decode && p.prefill && p.head && p.vocab_size > 0 &&
                  p.hidden_size > 0 && p.max_context > 0 && p.max_prefill > 0 &&
                  promptFits(p) && p.eos_count >= 0 &&
                  (p.eos || !p.eos_count) && p.state_count >= 0 &&
                  (p.states || !p.state_count) && p.expert_layers >= 0 &&
                  (p.experts || !p.expert_layers) &&
                  p.weights_bytes >= sizeof(lfm_weights_header) &&
                  p.state_bytes < SIZE_MAX / 4 && p.arena_bytes < SIZE_MAX / 4;
  for (int32_t i = 0; complete && i < p.state_count; ++i)
    complete = p.states[i].offset <= p.state_bytes &&
               p.states[i].bytes <= p.state_bytes - p.states[i].offset;
  for (int32_t i = 0; complete && i < p.expert_layers; ++i)
    complete = p.experts[i].count > 0;
  if (!complete)
    return message.fail(LFM_ERROR_ABI, "model %s: incomplete program table",
                        name);
  uint32_t missing = p.cpu_features & ~cpuFeatures(p.cpu_features);
  if (missing)
    return message.fail(
        LFM_ERROR_CPU, "model %s: compiled for %s, but this processor lacks %s",
        name, p.target ? p.target : "another target", cpuFeatureName(missing));
  return LFM_OK;
}

lfm_status checkHeader(const lfm_weights_header &header, const lfm_program &p,
                       uint64_t fileBytes, const char *path,
                       const Message &message) {
  if (std::memcmp(header.magic, LFM_WEIGHTS_MAGIC, sizeof header.magic) != 0)
    return message.fail(LFM_ERROR_WEIGHTS,
                        "%s: not a weights file: expected it to start with %s",
                        path, LFM_WEIGHTS_MAGIC);
  if (header.file_bytes != fileBytes)
    return message.fail(LFM_ERROR_WEIGHTS,
                        "%s: truncated or grown: expected %llu bytes, found"
                        " %llu",
                        path,
                        static_cast<unsigned long long>(header.file_bytes),
                        static_cast<unsigned long long>(fileBytes));
  if (std::memcmp(header.id, p.weights_id, sizeof header.id) != 0 ||
      header.file_bytes != p.weights_bytes)
    return message.fail(LFM_ERROR_WEIGHTS,
                        "%s: weights of another model or target: expected id "
                        "%02x%02x%02x%02x… of model %s, found "
                        "%02x%02x%02x%02x…",
                        path, p.weights_id[0], p.weights_id[1], p.weights_id[2],
                        p.weights_id[3], p.name, header.id[0], header.id[1],
                        header.id[2], header.id[3]);
  return LFM_OK;
}

// Reads `bytes` from the start of `file`; returns how many there were, or -1.
int64_t readAt(int file, void *memory, uint64_t bytes) {
  uint64_t done = 0;
  while (done < bytes) {
    // Linux reads at most 2 GiB at once.
    uint64_t wanted = bytes - done < (1u << 30) ? bytes - done : (1u << 30);
    ssize_t got = pread(file, static_cast<uint8_t *>(memory) + done, wanted,
                        static_cast<off_t>(done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return -1;
    if (got == 0)
      break;
    done += static_cast<uint64_t>(got);
  }
  return static_cast<int64_t>(done);
}

void adviseHuge(void *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
}

// `kept` takes the open file, if it is not null and the file is mapped.
lfm_status loadWeights(const lfm_program &p, const char *path, uint32_t flags,
                       const uint8_t *&weights, int *kept,
                       const Message &message) {
  File file;
  file.handle = open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file.handle < 0 || fstat(file.handle, &status) != 0)
    return message.fail(LFM_ERROR_FILE, "%s: cannot open: %s", path,
                        strerror(errno));
  if (!S_ISREG(status.st_mode))
    return message.fail(LFM_ERROR_FILE, "%s: not a regular file", path);
  lfm_weights_header header;
  int64_t got = readAt(file.handle, &header, sizeof header);
  if (got < 0)
    return message.fail(LFM_ERROR_FILE, "%s: cannot read: %s", path,
                        strerror(errno));
  if (got != static_cast<int64_t>(sizeof header))
    return message.fail(LFM_ERROR_WEIGHTS,
                        "%s: truncated: expected %llu bytes, found %lld", path,
                        static_cast<unsigned long long>(p.weights_bytes),
                        static_cast<long long>(got));
  if (lfm_status bad = checkHeader(
          header, p, static_cast<uint64_t>(status.st_size), path, message))
    return bad;

  size_t bytes = static_cast<size_t>(p.weights_bytes);
  if (flags & LFM_MODEL_READ) {
    void *memory = mapMemory(bytes);
    if (!memory)
      return message.fail(LFM_ERROR_OUT_OF_MEMORY,
                          "%s: no memory for %zu bytes of weights", path,
                          bytes);
    if (flags & LFM_MODEL_HUGE_PAGES)
      adviseHuge(memory, bytes);
    got = readAt(file.handle, memory, bytes);
    if (got != static_cast<int64_t>(bytes)) {
      int reason = errno;
      unmapMemory(memory, bytes);
      return message.fail(LFM_ERROR_FILE, "%s: cannot read %zu bytes: %s", path,
                          bytes, got < 0 ? strerror(reason) : "file ended");
    }
    mprotect(memory, bytes, PROT_READ);
    weights = static_cast<uint8_t *>(memory);
    return LFM_OK;
  }
  void *memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.handle, 0);
  if (memory == MAP_FAILED)
    return message.fail(LFM_ERROR_FILE, "%s: cannot map %zu bytes: %s", path,
                        bytes, strerror(errno));
  if (flags & LFM_MODEL_HUGE_PAGES)
    adviseHuge(memory, bytes);
  if ((flags & LFM_MODEL_PREFETCH) && !kept)
    madvise(memory, bytes, MADV_WILLNEED);
  if (kept) {
    *kept = file.handle;
    file.handle = -1;
  }
  weights = static_cast<uint8_t *>(memory);
  return LFM_OK;
}

} // namespace

void lfm_rt::retainModel(lfm_model *model) {
  model->users.fetch_add(1, std::memory_order_relaxed);
}

void lfm_rt::releaseModel(lfm_model *model) {
  if (model->users.fetch_sub(1, std::memory_order_acq_rel) != 1)
    return;
  unmapMemory(const_cast<uint8_t *>(model->weights), model->mappedBytes);
  if (model->residentExperts)
    model->residentExperts->destroy();
  std::free(model);
}

lfm_status lfm_model_open(const lfm_program *program, const char *path,
                          const lfm_model_options *options, lfm_model **model,
                          char *text, size_t textBytes) {
  Message message{text, textBytes};
  message.fail(LFM_OK, "%s", "");
  if (!model)
    return message.fail(LFM_ERROR_INVALID_ARGUMENT, "model is null");
  *model = nullptr;
  if (!program || !path)
    return message.fail(LFM_ERROR_INVALID_ARGUMENT, "%s is null",
                        program ? "weights_path" : "program");
  lfm_model_options chosen = options ? *options : lfm_model_options();
  bool known = chosen.flags <=
               (LFM_MODEL_READ | LFM_MODEL_PREFETCH | LFM_MODEL_HUGE_PAGES);
  for (uint32_t value : chosen.reserved)
    known &= value == 0;
  known &= !(chosen.expert_mib && (chosen.flags & LFM_MODEL_READ));
  if (!known)
    return message.fail(LFM_ERROR_INVALID_ARGUMENT,
                        "unknown model options (not zero-initialised?)");
  program = &bestLevel(*program);
  if (lfm_status bad = checkProgram(*program, message))
    return bad;

  const lfm_tokenizer *tokenizer = nullptr;
  if (program->tokenizer &&
      lfm_tokenizer_open(program->tokenizer, program->tokenizer_bytes,
                         &tokenizer) != LFM_OK)
    return message.fail(LFM_ERROR_TOKENIZER,
                        "model %s: tokenizer tables are damaged",
                        program->name);
  const uint8_t *weights = nullptr;
  bool bounded = chosen.expert_mib && program->expert_layers;
  int file = -1;
  if (lfm_status bad = loadWeights(*program, path, chosen.flags, weights,
                                   bounded ? &file : nullptr, message))
    return bad;
  size_t bytes = static_cast<size_t>(program->weights_bytes);
  void *memory = std::malloc(sizeof(lfm_model));
  ResidentExperts *resident = nullptr;
  if (memory && bounded)
    resident = ResidentExperts::create(*program, weights, file,
                                       uint64_t(chosen.expert_mib) << 20);
  if (!memory || (bounded && !resident)) {
    std::free(memory);
    if (file >= 0)
      close(file);
    unmapMemory(const_cast<uint8_t *>(weights), bytes);
    return message.fail(LFM_ERROR_OUT_OF_MEMORY, "no memory for the model");
  }
  *model =
      new (memory) lfm_model{program, weights, bytes, tokenizer, resident, {1}};
  return LFM_OK;
}

void lfm_model_close(lfm_model *model) {
  if (model)
    releaseModel(model);
}

lfm_status lfm_model_get_info(const lfm_model *model, lfm_model_info *info) {
  if (!model || !info)
    return LFM_ERROR_INVALID_ARGUMENT;
  const lfm_program &p = *model->program;
  *info = lfm_model_info();
  info->name = p.name;
  info->target = p.target;
  info->compiler = p.compiler;
  info->vocab_size = p.vocab_size;
  info->hidden_size = p.hidden_size;
  info->max_context = p.max_context;
  info->max_prefill = p.max_prefill;
  info->bos = p.bos;
  info->pad = p.pad;
  info->eos = p.eos;
  info->eos_count = p.eos_count;
  info->weights_bytes = p.weights_bytes;
  info->session_bytes = sessionBytes(*model);
  info->state_bytes = p.state_bytes;
  info->arena_bytes = p.arena_bytes;
  for (int32_t i = 0; i < p.state_count; ++i)
    info->state_bytes_per_token += p.states[i].bytes_per_token;
  return LFM_OK;
}

const lfm_tokenizer *lfm_model_tokenizer(const lfm_model *model) {
  return model ? model->tokenizer : nullptr;
}
