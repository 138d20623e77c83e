// SPDX-License-Identifier: Apache-2.0
#include "codegen/tune/Database.h"

#include "frontend/Errors.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <sqlite3.h>

using namespace llvm;

namespace lfmc::tune {

// The lines are what is kept; columns are what they are found by.
static constexpr const char *schema = R"(
create table if not exists records(
  kernel text, target text, features text, cpu text, version integer,
  gain real, line text not null,
  primary key(kernel, target, features, cpu, version));
create table if not exists measurements(
  kernel text, phase text, target text, features text, cpu text,
  version integer, source text, choice text, line text not null,
  primary key(kernel, phase, target, features, cpu, version, source, choice));
pragma user_version = 1;
)";

Database::Database(Database &&other)
    : handle(std::exchange(other.handle, nullptr)),
      path(std::move(other.path)) {}

Database::~Database() { sqlite3_close(handle); }

Error Database::failure(const char *what) {
  return makeError("tuning database {}: {}: {}", path, what,
                   sqlite3_errmsg(handle));
}

Expected<Database> Database::open(const std::string &path, bool mustExist) {
  if (!mustExist)
    sys::fs::create_directories(sys::path::parent_path(path));
  sqlite3 *handle = nullptr;
  int code = sqlite3_open_v2(
      path.c_str(), &handle,
      SQLITE_OPEN_READWRITE | (mustExist ? 0 : SQLITE_OPEN_CREATE), nullptr);
  Database database(handle, path);
  if (code != SQLITE_OK)
    return database.failure("cannot open");
  sqlite3_busy_timeout(handle, 20000);
  int version = -1;
  auto read = [](void *to, int, char **values, char **) {
    *static_cast<int *>(to) = std::atoi(values[0]);
    return 0;
  };
  if (sqlite3_exec(handle, "pragma user_version", read, &version, nullptr))
    return database.failure("cannot read");
  if (version > 1)
    return makeError("tuning database {}: expected version 1, found {}: it was "
                     "written by a newer lfmc",
                     path, version);
  if (version == 0 && sqlite3_exec(handle, schema, nullptr, nullptr, nullptr))
    return database.failure("cannot create tables");
  return database;
}

Error Database::execute(const char *sql,
                        const std::vector<std::string> &values) {
  sqlite3_stmt *statement = nullptr;
  if (sqlite3_prepare_v2(handle, sql, -1, &statement, nullptr))
    return failure("cannot prepare a change");
  for (size_t i = 0; i < values.size(); ++i)
    sqlite3_bind_text(statement, int(i) + 1, values[i].data(),
                      int(values[i].size()), SQLITE_STATIC);
  const int code = sqlite3_step(statement);
  Error error =
      code == SQLITE_DONE ? Error::success() : failure("cannot write");
  sqlite3_finalize(statement);
  return error;
}

static std::string choiceText(const Choice &choice) {
  std::string text;
  for (auto &[name, value] : choice)
    text += fmt::format("{}={} ", name, value);
  return text;
}

Error Database::add(const Measurement &m) {
  return execute(
      "insert or replace into measurements values(?,?,?,?,?,?,?,?,?)",
      {m.kernel, phaseName(m.phase).str(), m.setting.target, m.setting.features,
       m.setting.cpu, std::to_string(m.setting.version), m.setting.source,
       choiceText(m.choice), measurementLine(m)});
}

Error Database::add(const TuningRecord &record, bool onlyBetter) {
  return execute(
      onlyBetter
          ? "insert into records values(?,?,?,?,?,?,?) on conflict do update "
            "set gain = excluded.gain, line = excluded.line "
            "where cast(excluded.gain as real) > cast(gain as real)"
          : "insert or replace into records values(?,?,?,?,?,?,?)",
      {record.kernel, record.target, record.features, record.cpu,
       std::to_string(record.version), fmt::format("{:.17g}", record.gain),
       recordLine(record)});
}

Error Database::drop(const std::string &kernel, const Setting &setting) {
  return execute("delete from records where kernel = ? and target = ? and "
                 "features = ? and cpu = ? and version = ?",
                 {kernel, setting.target, setting.features, setting.cpu,
                  std::to_string(setting.version)});
}

Error Database::collect(const char *sql, TuningLines &lines) {
  std::string text;
  auto add = [](void *to, int, char **values, char **) {
    *static_cast<std::string *>(to) += std::string(values[0]) + "\n";
    return 0;
  };
  if (sqlite3_exec(handle, sql, add, &text, nullptr))
    return failure("cannot read");
  Expected<TuningLines> parsed = parseLines(text, path);
  if (!parsed)
    return parsed.takeError();
  lines = std::move(*parsed);
  return Error::success();
}

Expected<std::vector<TuningRecord>> Database::records() {
  TuningLines lines;
  if (Error error = collect("select line from records order by kernel, target, "
                            "cpu, version",
                            lines))
    return error;
  return std::move(lines.records);
}

Expected<std::vector<Measurement>> Database::measurements() {
  TuningLines lines;
  if (Error error =
          collect("select line from measurements order by rowid", lines))
    return error;
  return std::move(lines.measurements);
}

} // namespace lfmc::tune
