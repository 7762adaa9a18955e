// SPDX-License-Identifier: Apache-2.0
#include "tests/lang/support.h"
#include "runtime/base/memory_files.h"
#include <algorithm>
#include <filesystem>

namespace fil::test {

std::string sourceText(const std::string &path) {
  try {
    return std::string(systemFiles().read(std::string(FIL_SOURCE_FOLDER) + "/" + path).text());
  } catch (const Error &e) {
    ADD_FAILURE() << e.what();
    return "";
  }
}
std::vector<std::string> sourceFiles(const std::string &folder, const std::string &ending) {
  std::vector<std::string> all;
  const std::filesystem::path root(FIL_SOURCE_FOLDER);
  for (auto &entry : std::filesystem::recursive_directory_iterator(root / folder))
    if (entry.is_regular_file() && entry.path().string().ends_with(ending)) all.push_back(std::filesystem::relative(entry.path(), root).string());
  std::sort(all.begin(), all.end());
  return all;
}

std::unique_ptr<LoadedProgram> checked(const std::vector<std::pair<std::string, std::string>> &texts, std::map<std::string, int64_t> dims) {
  MemoryFiles files;
  std::vector<std::string> names;
  for (auto &[name, text] : texts) files.content[name] = text, names.push_back(name);
  auto p = LoadedProgram::load(files, names, {std::move(dims)});
  p->diags.sort();
  return p;
}
std::unique_ptr<LoadedProgram> checked(const std::string &text) { return checked({{"test.fil", text}}); }
std::vector<std::string> codes(const LoadedProgram &p) {
  std::vector<std::string> all;
  for (const Diagnostic &d : p.diags.all()) all.push_back(row(d.msg).code);
  return all;
}

Parsed::Parsed(const std::string &text, const std::string &name) { file = parse(sources.add(name, text), diags); }

} // namespace fil::test
