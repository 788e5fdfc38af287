// The last step of loading: values that depend on each other and on this machine. Internal to
// app/settings*.
#pragma once

#include <string>
#include <vector>

#include "app/settings.h"

namespace fyr::app {

// Fills what was left out (node name, advertise address, role defaults) and appends one text for
// each contradiction or impossible value.
void finish_settings(Settings& settings, std::vector<std::string>& errors);

}  // namespace fyr::app
