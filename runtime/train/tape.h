// SPDX-License-Identifier: Apache-2.0
// The tape of a run, `tape.jsonl`: what it was begun with, and what it decided and had become on the way. `fil replay` does the run again
// and holds every note against it.
#pragma once
#include "runtime/train/checkpoint.h"
#include <set>

namespace fil {

/// `edit`: the masks behind it; `adapt`: what changed its format, from what to what and why; `state`: all variables, beside a checkpoint. Hashes are FNV-1a of 64 bits over the elements as
/// they lie.
struct TapeNote {
  int64_t step = 0;                          ///< steps done
  std::string what;
  std::map<std::string, std::string> hashes; ///< by variable; of `state` one, under its own name; of `adapt` texts by product
};
/// What an executable's variables are now; `masks`: those alone.
TapeNote noteOf(const Executable &, int64_t step, bool masks);

/// The first line: all that the run needs but its data.
struct TapeHead {
  CheckpointInfo info;                       ///< step 0
  std::vector<std::pair<std::string, std::string>> sources; ///< the program's files, with absolute names
  std::string dataDir, data;                 ///< as given, absolute; may be empty
  std::string weights, weightsHash;          ///< what it began with, absolute; empty: first values
  std::vector<std::string> adapters;
};
struct TapeRecord {
  TapeHead head;
  std::vector<TapeNote> notes;
  std::optional<int64_t> otherwise;          ///< the step from which on the run was resumed by another plan or on another target
};
/// E0524 for what is no tape.
TapeRecord readTape(Files &, const std::string &path);

class Tape {
public:
  virtual ~Tape() = default;
  virtual void note(const TapeNote &) = 0;
  /// Is the state behind this step wanted, though no checkpoint is written?
  virtual bool wants(int64_t /*step*/) const { return false; }
};
/// Written as the run goes. From a step on: notes of later steps are dropped; a run that goes on otherwise than the head says notes that. A run that goes on without a tape that has a head
/// writes none.
class TapeFile : public Tape {
public:
  TapeFile(Files &, const std::string &path, const TapeHead &, int64_t fromStep);
  void note(const TapeNote &) override;
  bool goesOn() const { return out_ != nullptr; }

private:
  std::unique_ptr<Appender> out_;
};
/// Holds each note against those of a record. E0707 (numeric) where one differs, naming the step and what.
class TapeCheck : public Tape {
public:
  explicit TapeCheck(const TapeRecord &record) : record(record) {}
  void note(const TapeNote &) override;
  bool wants(int64_t step) const override;
  /// E0707 where the tape has a note up to this step that the replay had no occasion for.
  void finish(int64_t until) const;
  int64_t edits = 0, formats = 0, states = 0;             ///< that were the same

private:
  const TapeRecord &record;
  std::set<std::pair<int64_t, std::string>> seen;
};

} // namespace fil
