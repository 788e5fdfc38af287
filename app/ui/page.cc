#include "app/ui/page.h"

namespace fyr::app {

std::string_view ui_policy() {
  return "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
         "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
         "frame-ancestors 'none'";
}

namespace {

constexpr std::string_view kPage = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fyr</title>
<link rel="icon" href="data:,">
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; margin-bottom: 2em; }
th, td { text-align: left; padding: .3em .8em .3em 0; border-bottom: 1px solid #8884; }
td.number, th.number { text-align: right; }
.passing { color: #187a3c; } .warning { color: #a06000; } .critical { color: #b3261e; }
#state { color: #888; }
</style>
</head>
<body>
<h1>Services</h1>
<table><thead><tr><th>Service</th><th>Tags</th><th class="number">Instances</th>
<th class="number">Passing</th><th class="number">Warning</th><th class="number">Critical</th></tr>
</thead><tbody id="services"></tbody></table>
<h1>Nodes</h1>
<table><thead><tr><th>Node</th><th>Address</th><th class="number">Services</th><th>Health</th></tr>
</thead><tbody id="nodes"></tbody></table>
<p id="state"></p>
<script>
"use strict";
function row(into, cells) {
  const tr = document.createElement("tr");
  for (const [text, kind] of cells) {
    const td = document.createElement("td");
    td.textContent = text;
    if (kind) td.className = kind;
    tr.append(td);
  }
  into.append(tr);
}
function worst(checks) {
  for (const status of ["critical", "warning"])
    if (checks.some(check => check.Status === status)) return status;
  return "passing";
}
function count(number, status) { return [number, number > 0 ? "number " + status : "number"]; }
const show = {
  services(into, list) {
    for (const s of list)
      row(into, [[s.Name], [(s.Tags || []).join(", ")], [s.InstanceCount, "number"],
                 count(s.ChecksPassing, "passing"), count(s.ChecksWarning, "warning"),
                 count(s.ChecksCritical, "critical")]);
  },
  nodes(into, list) {
    for (const n of list) {
      const health = worst(n.Checks);
      row(into, [[n.Node], [n.Address], [n.Services.length, "number"], [health, health]]);
    }
  },
};
async function follow(what) {
  for (let index = 0;;) {
    try {
      const answer = await fetch("/v1/internal/ui/" + what + "?wait=60s&index=" + index);
      if (!answer.ok) throw new Error(await answer.text());
      index = Number(answer.headers.get("X-Consul-Index")) || 0;
      const list = await answer.json();
      const into = document.getElementById(what);
      into.replaceChildren();
      show[what](into, list);
      document.getElementById("state").textContent = "";
    } catch (error) {
      index = 0;
      document.getElementById("state").textContent = "No answer: " + error.message;
      await new Promise(resolve => setTimeout(resolve, 2000));
    }
  }
}
follow("services");
follow("nodes");
</script>
</body>
</html>
)html";

}  // namespace

std::string_view ui_page() {
  return kPage;
}

}  // namespace fyr::app
