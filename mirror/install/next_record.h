// From a plan to the record that will hold after it, and to what a person is told about each file. Nothing is written.
// Thread rule: one thread; reads the disk.
#pragma once

#include "mirror/install/installer.h"

namespace oxbow::mirror::install {

struct NextRecord {
  Manifest before;
  Manifest after;
  Report report;
};

/// `report.errors` has those of the plan, and each file that could not be written. `state`: the directory of the
/// records.
NextRecord next_record(const RootFs& files, Manifest before, const Plan& plan, const std::string& runtime,
                       const std::filesystem::path& state);

/// What taking back one file does, added to the report; kLeft (and an error there) where our part was changed by hand.
FileOutcome taken_back(const RootFs& files, const FileRecord& record, bool force, Report& report);

}  // namespace oxbow::mirror::install
