// Parameters that many endpoints share, and the reads made of them.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/filter.h"
#include "base/io/http_router.h"
#include "base/json.h"
#include "server/api/api.h"
#include "server/api/read_plan.h"

namespace fyr::server {

// "No path to datacenter" (500) unless it is empty or ours. True: answered, stop.
bool refuse_datacenter(const io::HttpCall& call, std::string_view datacenter,
                       const ApiOptions& options);
bool refuse_datacenter(const io::HttpCall& call, const ApiOptions& options);  // of ?dc
// ?ns and ?partition belong to another edition: 400. True: answered, stop.
bool refuse_namespace(const io::HttpCall& call);

// The node whose agent was asked: requests an agent passed on carry its name.
struct ApiContext;
std::string asked_node(const ApiContext& context, const io::HttpCall& call);

// ?near: the node to sort by, "" for none; "_agent" is the one that was asked.
std::string near_of(const ApiContext& context, const io::HttpCall& call);
// The answer depends on where nodes are, too.
void depend_on_distance(ReadPlan& plan, const std::string& near);

// The decoded path parameter; answers 400 with `missing` and returns false if it is empty.
bool require_tail(const io::HttpCall& call, std::string_view missing);

// ?tag (all must be there, any case), ?node-meta=key:value (all must match), ?filter.
struct RowSelection {
  std::vector<std::string> tags;  // in lower case
  std::vector<std::pair<std::string, std::string>> node_meta;
  std::optional<Filter> filter;
  std::string key;  // for CacheKey

  bool matches_tags(const pb::ServiceInstance& service) const;
  bool matches_node(const pb::Node& node) const;
  // `json` is one encoded row.
  bool matches_filter(std::string_view json) const;
};
// Answers and returns nothing if the filter is not valid.
std::optional<RowSelection> parse_selection(const io::HttpCall& call, const FilterSchema& schema);

// [row,row,...]: `encode` appends one row or nothing.
class RowList {
 public:
  explicit RowList(const RowSelection& selection) : selection_(selection) { out_ += '['; }
  template <class Encode>
  void add(Encode&& encode) {
    const auto before = out_.size();
    if (!first_) out_ += ',';
    const auto begin = out_.size();
    JsonWriter writer(out_);
    encode(writer);
    if (selection_.filter && !selection_.matches_filter(std::string_view(out_).substr(begin))) {
      out_.resize(before);
      return;
    }
    first_ = false;
  }
  std::string take() {
    out_ += ']';
    return std::move(out_);
  }

 private:
  const RowSelection& selection_;
  std::string out_;
  bool first_ = true;
};

}  // namespace fyr::server
