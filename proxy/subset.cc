#include "proxy/subset.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace fyr::proxy {
namespace {

const FilterSchema& schema() {
  static const FilterSchema fields{
      {"ID", FilterType::String, {}},
      {"Site", FilterType::String, {}},
      {"Tags", FilterType::StringList, {}},
      {"Meta", FilterType::StringMap, {}},
      {"Node",
       FilterType::Object,
       {{"Node", FilterType::String, {}}, {"Meta", FilterType::StringMap, {}}}},
      {"Service",
       FilterType::Object,
       {{"ID", FilterType::String, {}},
        {"Address", FilterType::String, {}},
        {"Port", FilterType::Integer, {}},
        {"Tags", FilterType::StringList, {}},
        {"Meta", FilterType::StringMap, {}}}},
  };
  return fields;
}

boost::json::value row_of(const EndpointInfo& info) {
  boost::json::array tags(info.tags.begin(), info.tags.end());
  boost::json::object meta;
  for (const auto& [key, value] : info.meta) meta[key] = value;
  const auto slash = info.id.find('/');
  const std::string service_id = slash == std::string::npos ? info.id : info.id.substr(slash + 1);
  boost::json::object node_meta;
  if (!info.site.empty()) node_meta["site"] = info.site;
  return boost::json::object{
      {"ID", info.id},
      {"Site", info.site},
      {"Tags", tags},
      {"Meta", meta},
      {"Node", boost::json::object{{"Node", info.node}, {"Meta", std::move(node_meta)}}},
      {"Service", boost::json::object{{"ID", service_id},
                                      {"Address", info.address},
                                      {"Port", info.port},
                                      {"Tags", tags},
                                      {"Meta", meta}}}};
}

}  // namespace

Result<Subset> Subset::make(SubsetConfig config) {
  Subset subset;
  if (!config.filter.empty()) {
    auto filter = Filter::parse(config.filter, schema());
    if (!filter) return filter.error();
    subset.filter_ = std::move(*filter);
  }
  subset.config_ = std::move(config);
  return subset;
}

bool Subset::contains(const EndpointInfo& info) const {
  const auto carries = [&](const std::string& tag) {
    return std::find(info.tags.begin(), info.tags.end(), tag) != info.tags.end();
  };
  if (!std::all_of(config_.tags.begin(), config_.tags.end(), carries)) return false;
  for (const auto& [key, value] : config_.meta) {
    const auto found = info.meta.find(key);
    if (found == info.meta.end() || found->second != value) return false;
  }
  return !filter_ || filter_->matches(row_of(info));
}

}  // namespace fyr::proxy
