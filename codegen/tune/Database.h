// SPDX-License-Identifier: Apache-2.0
//
// Records and measurements of this machine's user, in one SQLite file. Several
// processes may use it at once; each change is a transaction of its own, so
// that whoever is killed loses nothing that was written.
#ifndef LFMC_CODEGEN_TUNE_DATABASE_H
#define LFMC_CODEGEN_TUNE_DATABASE_H

#include "codegen/tune/Measurement.h"

struct sqlite3;

namespace lfmc::tune {

class Database {
public:
  /// Opens `path`; makes file and tables, unless `mustExist`. Fails for a file
  /// that is no such database or of a newer lfmc.
  static llvm::Expected<Database> open(const std::string &path,
                                       bool mustExist = false);
  Database(Database &&other);
  ~Database();

  /// Adds a measurement; replaces that of the same candidate and setting.
  llvm::Error add(const Measurement &measurement);
  /// Adds a record; replaces that of the same kernel, target, processor and
  /// version. With `onlyBetter` only one of less gain.
  llvm::Error add(const TuningRecord &record, bool onlyBetter = false);
  /// Forgets the record of that kernel, if there is one.
  llvm::Error drop(const std::string &kernel, const Setting &setting);

  /// All of them, in the order of kernels.
  llvm::Expected<std::vector<TuningRecord>> records();
  llvm::Expected<std::vector<Measurement>> measurements();

private:
  explicit Database(sqlite3 *handle, std::string path)
      : handle(handle), path(std::move(path)) {}
  llvm::Error execute(const char *sql,
                      const std::vector<std::string> &values = {});
  llvm::Error collect(const char *sql, TuningLines &lines);
  llvm::Error failure(const char *what);

  sqlite3 *handle = nullptr;
  std::string path;
};

} // namespace lfmc::tune

#endif // LFMC_CODEGEN_TUNE_DATABASE_H
