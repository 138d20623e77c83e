/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract between generated code and the runtime. Applications include
 * lfm.h; only lfmc and the runtime see this file.
 *
 * A compiled model is one constant `lfm_program`: entry points, sizes, tables.
 * Generated code allocates nothing, calls no library function and keeps no
 * state: all it touches arrives through `lfm_args` and `lfm_sync`.
 */
#ifndef LFM_PROGRAM_H
#define LFM_PROGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LFM_PROGRAM_ABI 6

/* Arguments of one step. Pointers are aligned to 64 bytes (HVX: 128). */
typedef struct lfm_args {
  const uint8_t *weights; /* start of the mapped NAME.weights file; the program
                             knows every offset in it */
  uint8_t *state;         /* state_bytes, owned by the session, zeroed at the
                             start of a sequence */
  uint8_t *arena;         /* arena_bytes of scratch; contents need not survive
                             between steps */
  const void *input;      /* decode: int32_t[1]; prefill, prompt: int32_t[n]
                             token ids; head, prompt_end: float[n][hidden_size]
                           */
  float *output;          /* decode: float[vocab_size]; prefill, prompt_end:
                             float[n][hidden_size], after the final norm;
                             prompt: float[n][hidden_size], for prompt_end;
                             head: float[n][vocab_size]. Not the input */
  int64_t n;              /* tokens (rows) of this step, 1..max_prefill */
  int64_t pos; /* position of the first token; pos + n <= max_context */
} lfm_args;

/* What a team shares during a step. The program is SPMD: every thread of the
 * team calls the same entry once per step. The C chunks of phase k are cut into
 * `threads` ranges, the t-th from floor(C * t / threads) on; a thread works
 * through its own range and then helps with those of the next threads.
 * tickets[k % 2][t].next counts the chunks taken from range t (beyond its end,
 * too: takers look after they have added). Then a thread calls
 * barrier(sync, k % 2). The last thread to arrive resets those tickets to 0,
 * then all leave. All tickets are 0 between steps. */
typedef struct lfm_ticket {
  int64_t next;       /* atomic */
  int64_t padding[7]; /* a cache line each */
} lfm_ticket;
typedef struct lfm_sync lfm_sync;
struct lfm_sync {
  lfm_ticket *tickets[2]; /* [threads] each */
  void (*barrier)(lfm_sync *sync, int32_t parity);
  int32_t threads;
  /* Null, or told by thread 0 which experts a step's tokens have chosen, before
   * their weights are read: `count` numbers, those of a token side by side.
   * `weights` is the up_offset of their lfm_experts_info. */
  void (*chosen)(lfm_sync *sync, uint64_t weights, const int32_t *experts,
                 int64_t count);
  /* The runtime's own fields follow in its derived struct. */
};

/* One step on one thread of the team; `thread` counts from 0. */
typedef void (*lfm_entry)(const lfm_args *args, lfm_sync *sync, int32_t thread);

/* One piece of the state, for snapshots and inspection. */
typedef struct lfm_state_info {
  const char *name;         /* "l2.k", "l0.conv", ... */
  uint64_t offset, bytes;   /* within the state */
  uint64_t bytes_per_token; /* of a KV cache, which grows with the position;
                              rewinding it is free. 0: a recurrent state, which
                              rewinds from a snapshot only */
  uint32_t regions;         /* a cache's equal parts (heads), each with its
                              positions in order; 1 without bytes_per_token */
  uint32_t granule;         /* positions that are interleaved in a region: the
                              first p positions are in the first
                              ceil(p / granule) * granule */
} lfm_state_info;

/* A layer's experts. The weights of each are two ranges of the weights file. */
typedef struct lfm_experts_info {
  uint64_t up_offset, up_bytes;     /* gate and up of expert e begin at
                                       up_offset + e * up_bytes */
  uint64_t down_offset, down_bytes; /* the same of its down projection */
  int32_t layer;
  int32_t count;     /* experts */
  int32_t per_token; /* of them that a token takes */
} lfm_experts_info;

/* Sampling defaults from generation_config.json; negative means "not given". */
typedef struct lfm_sampling_defaults {
  float temperature, top_p, min_p, repetition_penalty;
  int32_t top_k;
} lfm_sampling_defaults;

/* CPU features that the program's code needs (bit positions). */
enum {
  LFM_CPU_X86_V2 = 1u << 0,         /* SSE4.2, POPCNT */
  LFM_CPU_X86_V3 = 1u << 1,         /* AVX2, FMA, F16C, BMI2 */
  LFM_CPU_X86_V4 = 1u << 2,         /* AVX-512 F/BW/CD/DQ/VL */
  LFM_CPU_AVX512_ICELAKE = 1u << 3, /* AVX-512 VNNI, IFMA, VBMI, VBMI2, BITALG,
                                       VPOPCNTDQ; GFNI, VAES, VPCLMULQDQ */
  LFM_CPU_AVX512_BF16 = 1u << 4,
  LFM_CPU_AVX_VNNI = 1u << 5,
  LFM_CPU_AMX_INT8 = 1u << 6,
  LFM_CPU_AMX_BF16 = 1u << 7,
  /* 64-bit Arm, beyond Armv8.0 with Advanced SIMD */
  LFM_CPU_ARM_DOTPROD = 1u << 16,
  LFM_CPU_ARM_FP16 = 1u << 17, /* arithmetic in half precision */
  LFM_CPU_ARM_I8MM = 1u << 18,
  LFM_CPU_ARM_BF16 = 1u << 19,
  LFM_CPU_ARM_SVE2 = 1u << 20,
  LFM_CPU_ARM_SME2 = 1u << 21,
  LFM_CPU_ARM_FHM = 1u << 22,  /* f16 products added to f32 */
  LFM_CPU_ARM_SME = 1u << 23,  /* outer products of 8-bit integers */
  LFM_CPU_HVX = 1u << 24,      /* Hexagon: vectors of 128 bytes */
  LFM_CPU_HVX_FLOAT = 1u << 25 /* f32 in them */
};

/* NAME.weights starts with this header; tensors follow at 128-byte aligned
 * offsets from the start of the file, the first at LFM_WEIGHTS_DATA. */
#define LFM_WEIGHTS_MAGIC "LFMWGHT1"
#define LFM_WEIGHTS_DATA 16384
typedef struct lfm_weights_header {
  char magic[8];
  uint8_t id[16];      /* equals lfm_program.weights_id */
  uint64_t file_bytes; /* equals the size of the file */
} lfm_weights_header;

typedef struct lfm_program lfm_program;
struct lfm_program {
  uint32_t abi;          /* LFM_PROGRAM_ABI */
  uint32_t bytes;        /* sizeof(lfm_program) */
  const char *name;      /* model name, a C identifier */
  const char *target;    /* "x86-64-v4", ... */
  const char *compiler;  /* "lfmc 0.1.0" */
  uint32_t cpu_features; /* LFM_CPU_* bits */
  int32_t vocab_size, hidden_size;
  int32_t max_context; /* positions that the state holds */
  int32_t max_prefill; /* tokens in one prefill or head step */
  uint8_t weights_id[16];
  uint64_t weights_bytes; /* size of the file */
  uint64_t state_bytes, arena_bytes;
  lfm_entry decode, prefill, head;
  /* Together prefill's work for a prompt of which the last row matters: prompt
   * reads all n tokens, prompt_end then the last prompt_rows rows of its
   * result, n being prompt_rows and pos the position of the first of them. Of
   * the rows that it gives the last one is prefill's. For n > prompt_rows. All
   * null and 0: the model has no such cut. */
  lfm_entry prompt, prompt_end;
  int32_t prompt_rows;
  const lfm_state_info *states;
  int32_t state_count;
  const lfm_experts_info *experts; /* of mixtures of experts, by layer */
  int32_t expert_layers;
  int32_t bos, pad;   /* -1: none */
  const int32_t *eos; /* stop tokens */
  int32_t eos_count;
  lfm_sampling_defaults sampling;
  const uint8_t *tokenizer; /* tables, see tokenizer_format.h; NULL: none */
  uint64_t tokenizer_bytes;
  /* The same model for further levels of the processor family, best first;
   * same weights and state, own entries and arena. The runtime takes the first
   * that the processor runs, or else this program, which needs least. */
  const lfm_program *const *levels;
  int32_t level_count;
  uint64_t decode_arena_bytes; /* of the arena, from its start, that decode
                                  uses */
};

#ifdef __cplusplus
}
#endif
#endif /* LFM_PROGRAM_H */
