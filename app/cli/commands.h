// The words after `fyr` other than `agent`. Each returns the exit status: 0 done, 1 failed, 2
// members' filter matched none; 127 for an unknown word (main).
#pragma once

#include <string>
#include <vector>

namespace fyr::app {

inline constexpr char kVersion[] = "0.1.0";
// What Consul-aware clients are shown: the API level we answer with.
inline constexpr char kConsulVersion[] = "1.10.11";

int run_agent_command(const std::vector<std::string>& arguments);
int run_version_command(const std::vector<std::string>& arguments);
int run_validate_command(const std::vector<std::string>& arguments);
int run_members_command(const std::vector<std::string>& arguments);
int run_snapshot_command(const std::vector<std::string>& arguments);
int run_recover_command(const std::vector<std::string>& arguments);
int run_operator_command(const std::vector<std::string>& arguments);

}  // namespace fyr::app
