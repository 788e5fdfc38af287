// Whether an endpoint belongs to the part of a service a listener asks for (specification, section
// 2, `subset`).
//
// The filter knows ID, Site, Node.Node, Node.Meta.site and Service.{ID, Address, Port, Tags, Meta},
// the words of Consul's subsets, and Tags and Meta alone. Pure; immutable after make().
#pragma once

#include <optional>

#include "base/error.h"
#include "base/filter.h"
#include "proxy/config.h"
#include "proxy/endpoint_source.h"

namespace fyr::proxy {

class Subset {
 public:
  Subset() = default;  // everybody
  static Result<Subset> make(SubsetConfig config);
  bool contains(const EndpointInfo& info) const;

 private:
  SubsetConfig config_;
  std::optional<Filter> filter_;
};

}  // namespace fyr::proxy
