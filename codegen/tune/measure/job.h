/* SPDX-License-Identifier: Apache-2.0
 *
 * The file that the measuring program reads: what to call with what. One struct
 * lfm_job, then what its offsets point to. Little-endian, 64-bit.
 *
 * The program is linked with two kernels (codegen/llvm/MacroBuilder.h): the
 * anchor, lfm_kernel_0, and the candidate, lfm_kernel_1. It checks the output
 * of both against the same expected values, then times them in turn, so that
 * whatever disturbs the machine disturbs both.
 *
 * Big operands are described by little data. A weight is a sequence of units,
 * each equal to unit A or unit B; which one is decided by the parity of the
 * bits of the unit's number, so that no shift maps the sequence to itself. A
 * grid is f32 [tokens][units][columns]; its rows repeat every `rows` tokens,
 * and unit decides between A and B like a weight's. Records are what the other
 * families write: `units` of them, each run[0] values in i8, then run[1] in
 * f16, run[2] in f32 and run[3] in i32.
 */
#ifndef LFM_MEASURE_JOB_H
#define LFM_MEASURE_JOB_H

#include <stdint.h>

#define LFM_JOB_MAGIC "LFMJOB05"

enum {
  LFM_OPERAND_ROWS,    /* rows of `unit` bytes, of `units` tokens each; data:
                          `rows` of them, repeated */
  LFM_OPERAND_UNITS,   /* a weight: units of `unit` bytes; data: A, B */
  LFM_OPERAND_GRID,    /* data: A[rows][columns], B[rows][columns] */
  LFM_OPERAND_OUTPUT,  /* the same; data is what is expected, NaN what is not
                          looked at */
  LFM_OPERAND_PLAIN,   /* `unit` bytes, as in data */
  LFM_OPERAND_RECORDS, /* an output; data: what is expected of `rows` records,
                          repeated, all values in f32, NaN as above */
  LFM_OPERANDS = 9     /* at most, of a kernel */
};

enum { LFM_RUNS = 4 };

typedef struct lfm_operand {
  uint32_t kind;
  uint32_t rows;    /* tokens after which rows repeat */
  uint64_t units;   /* of a weight or of a row of a grid; tokens of a row */
  uint64_t unit;    /* bytes of a unit (of A; B follows), or of a row */
  uint64_t columns; /* of a unit of a grid */
  uint64_t data;    /* offset in the file; equal ones share memory */
  /* Of records: */
  uint32_t run[LFM_RUNS];
  uint64_t begin;   /* offset of what memory holds before a call that is
                       checked (state); 0: nothing that is right */
  double tolerance; /* largest absolute difference */
  double relative;  /* more, per size of what is expected */
  double codes;     /* largest difference of values in i8 */
} lfm_operand;

typedef struct lfm_job_kernel {
  uint64_t chunks;   /* chunks of a call: [0, chunks) */
  uint32_t operands; /* pointers */
  uint32_t padding;
  lfm_operand operand[LFM_OPERANDS];
} lfm_job_kernel;

typedef struct lfm_job {
  char magic[8];
  uint64_t bytes;      /* of the file */
  uint64_t tokens;     /* of a call */
  uint64_t position;   /* of the first one */
  uint64_t cold_bytes; /* weights are copied until they fill that much memory */
  uint32_t threads;    /* 0: all processors */
  uint32_t repeats;    /* not 0: neither check nor time, call kernel `only` so
                          often (instruction counts) */
  uint32_t only;
  uint32_t limit_seconds; /* then the program ends itself by SIGALRM */
  double seconds;         /* spent on timing */
  double tolerance;       /* largest absolute difference */
  lfm_job_kernel kernel[2];
} lfm_job;

#endif /* LFM_MEASURE_JOB_H */
