// SPDX-License-Identifier: Apache-2.0
//
// From device files (devices/*.json, compiled into lfmc, and files of the
// user's) to targets. Private to targets.
#ifndef LFMC_TARGETS_DEVICES_H
#define LFMC_TARGETS_DEVICES_H

#include "targets/Target.h"

#include "llvm/Support/JSON.h"

namespace lfmc {

/// A device file that is part of lfmc.
struct DeviceFile {
  const char *name, *text;
};
/// Written by CMake from devices/, by name.
llvm::ArrayRef<DeviceFile> deviceFiles();

/// The target that a device file's text describes, with `added` features more
/// ("dotprod"); `name` is what messages call it. Strings of the result live as
/// long as the process.
llvm::Expected<Target> readDevice(llvm::StringRef text, llvm::StringRef name,
                                  llvm::ArrayRef<llvm::StringRef> added);

/// Fills in what follows from a device's family and features.
llvm::Error describeArm64(Target &target, const llvm::json::Object &facts,
                          llvm::ArrayRef<std::string> features);
llvm::Error describeHexagon(Target &target, const llvm::json::Object &facts,
                            llvm::ArrayRef<std::string> features);

/// A copy that lives as long as the process.
llvm::StringRef kept(llvm::StringRef text);

} // namespace lfmc

#endif // LFMC_TARGETS_DEVICES_H
