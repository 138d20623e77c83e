// SPDX-License-Identifier: Apache-2.0
#include "tools/lfmc/Commands.h"

int main(int argc, char **argv) { return lfmc::cli::run(argc, argv); }
