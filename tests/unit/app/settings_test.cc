#include "app/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "app/settings_table.h"
#include "app/settings_validate.h"

namespace fyr::app {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() {
    std::string name = (std::filesystem::temp_directory_path() / "settings-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~SettingsTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name) << content;
    return (folder_ / name).string();
  }
  // Flags that make everything else valid, then `more`.
  static LoadedSettings load(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"-bind=127.0.0.1", "-data-dir=/nowhere", "-node=test"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return load_settings(arguments);
  }
  LoadedSettings load_json(const std::string& content) {
    return load({"-config-file", write("a.json", content)});
  }
  static Settings good(const LoadedSettings& loaded) {
    EXPECT_THAT(loaded.errors, IsEmpty());
    return loaded.settings;
  }
  // The errors, with the temporary folder shortened to "DIR".
  std::vector<std::string> errors_of(const LoadedSettings& loaded) {
    std::vector<std::string> out;
    for (std::string text : loaded.errors) {
      const auto at = text.find(folder_.string());
      if (at != std::string::npos) text.replace(at, folder_.string().size(), "DIR");
      out.push_back(text);
    }
    return out;
  }
  std::vector<std::string> errors_of_json(const std::string& content) {
    return errors_of(load_json(content));
  }

  std::filesystem::path folder_;
};

// ---- how programs start it ----

TEST_F(SettingsTest, LaunchFormOfTheGoClientLibrary) {
  const auto file = write("consul.json", R"({
    "node_name": "node-1", "node_id": "ADF4238A-882B-9DDC-4A9D-5B6758E4159E",
    "node_meta": {"k": "v"}, "performance": {"raft_multiplier": 1}, "bootstrap": true,
    "server": true, "data_dir": "/tmp/consul/data", "segments": null,
    "disable_update_check": true, "log_level": "debug", "bind_addr": "127.0.0.1",
    "addresses": {}, "ports": {"dns": 19000, "http": 19001, "https": 19002, "serf_lan": 19003,
    "serf_wan": 19004, "server": 19005}, "raft_protocol": 3,
    "acl": {"enabled": false, "tokens": {"master": "root"}},
    "connect": {"enabled": true, "ca_config": {"cluster_id": "11111111"}}})");
  const auto second = write("more.json", R"({"datacenter": "dc2", "encrypt": "x"})");
  const Settings s = good(load_settings({"-config-file", file, "-config-file", second}));
  EXPECT_EQ(s.node_name, "node-1");
  EXPECT_EQ(s.node_id, "adf4238a-882b-9ddc-4a9d-5b6758e4159e");
  EXPECT_EQ(s.node_meta.at("k"), "v");
  EXPECT_TRUE(s.server && s.bootstrap);
  EXPECT_EQ(s.datacenter, "dc2");
  EXPECT_EQ(s.http_port, 19001);
  EXPECT_EQ(s.dns_port, 19000);
  EXPECT_EQ(s.serf_lan_port, 19003);
  EXPECT_EQ(s.server_port, 19005);
  EXPECT_EQ(s.log_level, "debug");
  EXPECT_EQ(s.advertise_address, "127.0.0.1");
  EXPECT_THAT(s.warnings, Contains(HasSubstr("connect")));
  EXPECT_THAT(s.warnings, Contains(HasSubstr("encrypt")));
}

TEST_F(SettingsTest, LaunchFormOfTheJavaScriptClient) {
  const auto file = write("empty.json", "");
  const Settings s = good(load_settings(
      {"-bind=127.0.0.2", "-client=127.0.0.2", "-node", "node2", "-datacenter", "dc1", "-server",
       "-bootstrap", "-config-file", file, "-data-dir", "/tmp/d", "-pid-file", "/tmp/p"}));
  EXPECT_EQ(s.bind_address, "127.0.0.2");
  EXPECT_EQ(s.http_address, "127.0.0.2");
  EXPECT_EQ(s.dns_address, "127.0.0.2");
  EXPECT_EQ(s.pid_file, "/tmp/p");
  EXPECT_EQ(s.http_port, 8500);
  EXPECT_EQ(s.dns_port, 8600);
  EXPECT_EQ(s.serf_lan_port, 8301);
  EXPECT_EQ(s.server_port, 8300);
  EXPECT_TRUE(s.server && s.bootstrap);
}

TEST_F(SettingsTest, LaunchFormOfThePythonClients) {
  write("config.json", R"({"ports": {"http": 18500, "dns": -1}, "enable_script_checks": true})");
  write("notes.txt", "not read");
  const Settings s = good(load_settings(
      {"-dev", "-bind=127.0.0.1", "-config-dir=" + folder_.string(), "-bootstrap-expect", "1"}));
  EXPECT_TRUE(s.dev && s.server && s.bootstrap);
  EXPECT_EQ(s.http_port, 18500);
  EXPECT_EQ(s.dns_port, -1);
  EXPECT_EQ(s.client_address, "127.0.0.1");
  EXPECT_TRUE(s.enable_script_checks);
}

TEST_F(SettingsTest, DevModeNeedsNothingElse) {
  const Settings s = good(load_settings({"-dev"}));
  EXPECT_TRUE(s.server && s.bootstrap && s.dev);
  EXPECT_EQ(s.bind_address, "127.0.0.1");
  EXPECT_EQ(s.log_level, "DEBUG");
  EXPECT_TRUE(s.data_dir.empty());
  EXPECT_FALSE(s.node_name.empty());
}

// ---- flags ----

TEST_F(SettingsTest, FlagsTakeOneDashOrTwoAndBothValueForms) {
  for (const auto& form : std::vector<std::vector<std::string>>{{"-http-port", "7000"},
                                                                {"-http-port=7000"},
                                                                {"--http-port", "7000"},
                                                                {"--http-port=7000"}}) {
    EXPECT_EQ(good(load(form)).http_port, 7000);
  }
}

TEST_F(SettingsTest, BooleanFlagsNeedNoValueAndTakeOneAfterEquals) {
  EXPECT_TRUE(good(load({"-log-json"})).log_json);
  EXPECT_TRUE(good(load({"-log-json=true"})).log_json);
  EXPECT_FALSE(good(load({"-log-json=false"})).log_json);
  EXPECT_THAT(load({"-log-json=perhaps"}).errors,
              ElementsAre("-log-json: must be true or false, not \"perhaps\""));
}

TEST_F(SettingsTest, RepeatedFlagsAddUp) {
  const Settings s = good(load({"-retry-join", "a", "-retry-join=b:9", "-join", "c", "-node-meta",
                                "x:1", "-node-meta=y:2:3", "-recursor=1.1.1.1"}));
  EXPECT_THAT(s.retry_join, ElementsAre("a", "b:9"));
  EXPECT_THAT(s.start_join, ElementsAre("c"));
  EXPECT_THAT(s.node_meta, UnorderedElementsAre(std::pair("x", "1"), std::pair("y", "2:3")));
  EXPECT_THAT(s.recursors, ElementsAre("1.1.1.1"));
}

TEST_F(SettingsTest, EveryFlagLaunchersUseIsKnown) {
  const Settings s = good(load({"-server",
                                "-bootstrap-expect",
                                "1",
                                "-client",
                                "127.0.0.1",
                                "-advertise",
                                "10.0.0.1",
                                "-node-id",
                                "adf4238a-882b-9ddc-4a9d-5b6758e4159e",
                                "-datacenter",
                                "dc1",
                                "-pid-file",
                                "p",
                                "-retry-join",
                                "a",
                                "-retry-interval",
                                "1s",
                                "-retry-max",
                                "3",
                                "-http-port",
                                "1",
                                "-https-port",
                                "-1",
                                "-dns-port",
                                "2",
                                "-serf-lan-port",
                                "3",
                                "-serf-wan-port",
                                "4",
                                "-server-port",
                                "5",
                                "-grpc-port",
                                "-1",
                                "-domain",
                                "x.",
                                "-alt-domain",
                                "y.",
                                "-recursor",
                                "1.1.1.1",
                                "-encrypt",
                                "abc",
                                "-log-level",
                                "warn",
                                "-log-file",
                                "f",
                                "-log-json",
                                "-enable-script-checks",
                                "-enable-local-script-checks",
                                "-node-meta",
                                "k:v",
                                "-disable-host-node-id",
                                "-raft-protocol",
                                "3",
                                "-rejoin",
                                "-ui",
                                "-syslog"}));
  EXPECT_EQ(s.advertise_address, "10.0.0.1");
  EXPECT_EQ(s.domain, "x.");
}

TEST_F(SettingsTest, UnknownFlagsAndMissingValuesAreNamed) {
  EXPECT_THAT(load({"-no-such-flag"}).errors,
              ElementsAre("flag provided but not defined: -no-such-flag"));
  EXPECT_THAT(load({"-data-dri=/x"}).errors,
              ElementsAre("flag provided but not defined: -data-dri (did you mean data-dir?)"));
  EXPECT_THAT(load({"-http-port"}).errors, ElementsAre("flag needs an argument: -http-port"));
  EXPECT_THAT(load({"word"}).errors, ElementsAre("unexpected argument \"word\""));
  EXPECT_THAT(load({"-hcl", "server = true"}).errors, ElementsAre(HasSubstr("-hcl: HCL")));
}

// ---- precedence ----

TEST_F(SettingsTest, FlagsWinOverFilesWhereverTheyStand) {
  const auto file = write("a.json", R"({"ports": {"http": 1111}, "log_level": "warn"})");
  EXPECT_EQ(good(load({"-http-port=2222", "-config-file", file})).http_port, 2222);
  EXPECT_EQ(good(load({"-config-file", file, "-http-port=2222"})).http_port, 2222);
  EXPECT_EQ(good(load({"-config-file", file})).log_level, "warn");
}

TEST_F(SettingsTest, LaterFilesWinAndListsAddUp) {
  const auto a = write("a.json", R"({"log_level": "warn", "retry_join": ["x"],
                                     "node_meta": {"k": "1", "only": "a"}})");
  const auto b = write("b.json", R"({"log_level": "error", "retry_join": ["y"],
                                     "node_meta": {"k": "2"}})");
  const Settings s = good(load({"-config-file", a, "-config-file", b}));
  EXPECT_EQ(s.log_level, "error");
  EXPECT_THAT(s.retry_join, ElementsAre("x", "y"));
  EXPECT_EQ(s.node_meta.at("k"), "2");
  EXPECT_EQ(s.node_meta.at("only"), "a");
  EXPECT_EQ(good(load({"-config-file", b, "-config-file", a})).log_level, "warn");
}

TEST_F(SettingsTest, AFolderIsReadInNameOrderAndOtherFilesAreSkipped) {
  write("20.json", R"({"log_level": "error"})");
  write("10.json", R"({"log_level": "warn", "domain": "a."})");
  write("30.json.bak", "{nope");
  write("readme", "{nope");
  const Settings s = good(load({"-config-dir", folder_.string()}));
  EXPECT_EQ(s.log_level, "error");
  EXPECT_EQ(s.domain, "a.");
}

// ---- values ----

TEST_F(SettingsTest, PortsAreNumbersOrTextsOfNumbers) {
  const Settings s =
      good(load_json(R"({"ports": {"http": "8501", "dns": -1, "https": "-1", "grpc": -1}})"));
  EXPECT_EQ(s.http_port, 8501);
  EXPECT_EQ(s.dns_port, -1);
  EXPECT_EQ(s.https_port, -1);
}

TEST_F(SettingsTest, ReadsTheSectionsOfConsulsFiles) {
  const Settings s = good(load_json(R"({
    "dns_config": {"node_ttl": "5s", "service_ttl": {"*": "1s", "web": "1m30s"},
                   "only_passing": true, "enable_truncate": true, "udp_answer_limit": 5,
                   "a_record_limit": 2, "soa": {"refresh": 1, "retry": 2, "expire": 3,
                   "min_ttl": 4}},
    "performance": {"raft_multiplier": 5, "rpc_hold_timeout": "3s"},
    "limits": {"http_max_conns_per_client": 9, "kv_max_value_size": 1000},
    "http_config": {"response_headers": {"X-A": "b"}, "block_endpoints": ["/v1/kv"]},
    "addresses": {"http": "unix:///tmp/x.sock"},
    "check_update_interval": "0s", "enable_local_script_checks": true,
    "leave_on_terminate": false, "default_query_time": "10s", "max_query_time": "20s"})"));
  EXPECT_EQ(s.dns.node_ttl, seconds(5));
  EXPECT_EQ(s.dns.service_ttl.at("web"), seconds(90));
  EXPECT_TRUE(s.dns.only_passing && s.dns.enable_truncate);
  EXPECT_EQ(s.dns.udp_answer_limit, 5);
  EXPECT_EQ(s.dns.a_record_limit, 2);
  EXPECT_EQ(s.dns.soa.min_ttl, 4);
  EXPECT_EQ(s.raft_multiplier, 5);
  EXPECT_EQ(s.rpc_hold_timeout, seconds(3));
  EXPECT_EQ(s.http_max_conns_per_client, 9);
  EXPECT_EQ(s.kv_max_value_size, 1000);
  EXPECT_EQ(s.response_headers.at("X-A"), "b");
  EXPECT_THAT(s.block_endpoints, ElementsAre("/v1/kv"));
  EXPECT_EQ(s.http_address, "unix:///tmp/x.sock");
  EXPECT_EQ(s.dns_address, "127.0.0.1");
  EXPECT_EQ(s.check_update_interval, Duration::zero());
  EXPECT_FALSE(s.leave_on_terminate);
  EXPECT_EQ(s.default_query_time, seconds(10));
}

TEST_F(SettingsTest, KeepsDefinitionsAsTheyStandWithTheirPlace) {
  const auto loaded = load_json(R"({
    "service": {"name": "one"}, "services": [{"name": "two"}, {"name": "three"}],
    "check": {"id": "c"}, "checks": [{"id": "d"}], "proxy": {"listeners": []}})");
  const Settings s = good(loaded);
  ASSERT_EQ(s.services.size(), 3u);
  EXPECT_EQ(s.services[0].value.at("name"), "one");
  EXPECT_THAT(s.services[0].where,
              AllOf(HasSubstr("a.json: service"), HasSubstr(folder_.string())));
  EXPECT_THAT(s.services[2].where, HasSubstr("services[1]"));
  EXPECT_EQ(s.checks.size(), 2u);
  EXPECT_EQ(s.proxies.size(), 1u);
}

TEST_F(SettingsTest, NullLeavesTheDefaultAndAnEmptyFileIsValid) {
  EXPECT_EQ(good(load_json(R"({"segments": null, "ports": null, "log_level": null,
                               "services": null})"))
                .log_level,
            "INFO");
  good(load_json(""));
  good(load_json(" \n\t"));
}

TEST_F(SettingsTest, RolesHaveConsulsDefaultsForLeaving) {
  const Settings agent = good(load({}));
  EXPECT_TRUE(agent.leave_on_terminate);
  EXPECT_FALSE(agent.skip_leave_on_interrupt);
  const Settings server = good(load({"-server", "-bootstrap"}));
  EXPECT_FALSE(server.leave_on_terminate);
  EXPECT_TRUE(server.skip_leave_on_interrupt);
  const auto file = write("a.json", R"({"leave_on_terminate": true})");
  EXPECT_TRUE(good(load({"-server", "-bootstrap", "-config-file", file})).leave_on_terminate);
}

TEST_F(SettingsTest, KnownKeysWithoutEffectAreAWarningEach) {
  const Settings s = good(load_json(
      R"({"telemetry": {"x": 1}, "autopilot": {}, "acl": {"down_policy": "deny"},
          "disable_update_check": true})"));
  EXPECT_THAT(s.warnings, UnorderedElementsAre(HasSubstr("telemetry"), HasSubstr("autopilot"),
                                               HasSubstr("acl.down_policy")));
}

// ---- errors ----

TEST_F(SettingsTest, AllErrorsComeAtOnceEachWithItsFileAndKey) {
  const auto a = write("a.json", R"({"server": "perhaps", "ports": {"http": 99999},
                                     "bind_adr": "x"})");
  const auto b = write("b.json", R"({"dns_config": {"node_ttl": "abc", "soa": {"refresch": 1}},
                                     "node_id": "nope"})");
  const auto loaded = load({"-config-file", a, "-config-file", b, "-dns-port=x"});
  EXPECT_THAT(
      errors_of(loaded),
      UnorderedElementsAre(
          "failed to parse DIR/a.json: server: must be true or false, not \"perhaps\"",
          "failed to parse DIR/a.json: ports.http: must be between -1 and 65535, not 99999",
          "failed to parse DIR/a.json: invalid config key bind_adr (did you mean bind_addr?)",
          "failed to parse DIR/b.json: dns_config.node_ttl: time: invalid duration \"abc\"",
          "failed to parse DIR/b.json: invalid config key dns_config.soa.refresch (did you mean "
          "dns_config.soa.refresh?)",
          "DIR/b.json: node_id: \"nope\" is not a UUID",
          "-dns-port: must be a whole number, not \"x\""));
}

TEST_F(SettingsTest, WrongTypesNameTheKey) {
  EXPECT_THAT(errors_of_json(R"({"node_name": 5})"),
              ElementsAre("failed to parse DIR/a.json: node_name: must be a string"));
  EXPECT_THAT(errors_of_json(R"({"ports": 5})"),
              ElementsAre("failed to parse DIR/a.json: ports: must be an object"));
  EXPECT_THAT(errors_of_json(R"({"ports": {"http": 1.5}})"),
              ElementsAre("failed to parse DIR/a.json: ports.http: must be a whole number"));
  EXPECT_THAT(errors_of_json(R"({"ports": {"http": 1e300}})"),
              ElementsAre("failed to parse DIR/a.json: ports.http: must be a whole number"));
  EXPECT_THAT(errors_of_json(R"({"ports": {"http": "80a"}})"),
              ElementsAre(HasSubstr("ports.http: must be a whole number, not \"80a\"")));
  EXPECT_THAT(errors_of_json(R"({"retry_join": [1]})"),
              ElementsAre(HasSubstr("retry_join: must be a list of strings")));
  EXPECT_THAT(errors_of_json(R"({"node_meta": {"k": 1}})"),
              ElementsAre(HasSubstr("node_meta: k: must be a string")));
  EXPECT_THAT(errors_of_json(R"({"services": "x"})"), ElementsAre(HasSubstr("services: must be")));
  EXPECT_THAT(errors_of_json(R"({"dns_config": {"service_ttl": {"web": "1 day"}}})"),
              ElementsAre(HasSubstr("dns_config.service_ttl: web: time:")));
  EXPECT_THAT(errors_of_json(R"({"check_update_interval": "-1s"})"),
              ElementsAre(HasSubstr("check_update_interval: must not be negative")));
}

TEST_F(SettingsTest, FilesThatAreNotJsonOrMissingAreNamed) {
  EXPECT_THAT(errors_of_json("{nope"), ElementsAre(HasSubstr("failed to parse DIR/a.json: ")));
  EXPECT_THAT(errors_of_json("[]"), ElementsAre("failed to parse DIR/a.json: not a JSON object"));
  EXPECT_THAT(errors_of_json("{} {}"), ElementsAre(HasSubstr("failed to parse DIR/a.json: ")));
  EXPECT_THAT(errors_of(load({"-config-file", folder_.string() + "/none.json"})),
              ElementsAre(HasSubstr("DIR/none.json")));
  EXPECT_THAT(errors_of(load({"-config-dir", folder_.string() + "/none"})),
              ElementsAre(HasSubstr("DIR/none")));
  EXPECT_THAT(errors_of(load({"-config-file", write("a.hcl", "server = true")})),
              ElementsAre(AllOf(HasSubstr("DIR/a.hcl"), HasSubstr("JSON"))));
}

TEST_F(SettingsTest, ImpossibleValuesNameWhereTheyCameFrom) {
  EXPECT_THAT(load({"-bind=nonsense"}).errors,
              ElementsAre("-bind: bind_addr: \"nonsense\" is not an IP address"));
  EXPECT_THAT(load({"-client={{ GetPrivateIP }}"}).errors,
              ElementsAre(HasSubstr("templates are not supported")));
  EXPECT_THAT(load({"-client=127.0.0.1 10.0.0.1"}).errors,
              ElementsAre(HasSubstr("several addresses are not supported")));
  EXPECT_THAT(load({"-advertise=0.0.0.0"}).errors, ElementsAre(HasSubstr("advertise_addr")));
  EXPECT_THAT(load({"-node=with space"}).errors, ElementsAre(HasSubstr("-node: node_name")));
  EXPECT_THAT(load({"-datacenter=a.b"}).errors, ElementsAre(HasSubstr("datacenter")));
  EXPECT_THAT(load({"-log-level=loud"}).errors, ElementsAre(HasSubstr("log_level: \"loud\"")));
  EXPECT_THAT(load({"-retry-join", "a:b"}).errors, ElementsAre(HasSubstr("retry_join")));
  EXPECT_THAT(load({"-retry-join", "provider=aws tag_key=x"}).errors,
              ElementsAre(HasSubstr("cloud providers are not supported")));
  EXPECT_THAT(load({"-node-meta", "consul-x:y"}).errors, ElementsAre(HasSubstr("reserved")));
  EXPECT_THAT(load({"-node-meta", ":y"}).errors, ElementsAre(HasSubstr("KEY:VALUE")));
  EXPECT_THAT(load({"-http-port=5", "-dns-port=5"}).errors,
              ElementsAre("-dns-port: ports.dns: port 5 is already taken by ports.http"));
  EXPECT_THAT(load({"-serf-lan-port=-1"}).errors, ElementsAre(HasSubstr("ports.serf_lan")));
  EXPECT_THAT(errors_of_json(R"({"acl": {"default_policy": "maybe"}})"),
              ElementsAre("DIR/a.json: acl.default_policy: \"maybe\" is neither allow nor deny"));
}

TEST_F(SettingsTest, ContradictionsOfTheRoleAreErrors) {
  EXPECT_THAT(load({"-bootstrap"}).errors, ElementsAre(HasSubstr("bootstrap: needs server mode")));
  EXPECT_THAT(load({"-bootstrap-expect=1"}).errors,
              ElementsAre(HasSubstr("bootstrap_expect: needs server mode")));
  EXPECT_THAT(load({"-server", "-bootstrap", "-bootstrap-expect=3"}).errors,
              Contains(HasSubstr("cannot be combined")));
  EXPECT_THAT(load_settings({"-bind=127.0.0.1", "-node=x"}).errors,
              ElementsAre("data_dir: must be given (-data-dir)"));
}

TEST_F(SettingsTest, TheAddressToAdvertiseIsTheOnlyPrivateOne) {
  const auto finish = [](const std::vector<std::string>& addresses, Settings& s) {
    s.node_name = "x";
    s.data_dir = "/d";
    std::vector<std::string> errors;
    finish_settings(s, {}, addresses, errors);
    return errors;
  };
  Settings one;
  EXPECT_THAT(finish({"10.0.0.5"}, one), IsEmpty());
  EXPECT_EQ(one.advertise_address, "10.0.0.5");
  Settings two;
  EXPECT_THAT(finish({"10.0.0.5", "192.168.0.7"}, two),
              ElementsAre(AllOf(HasSubstr("bind_addr: several private addresses"),
                                HasSubstr("10.0.0.5, 192.168.0.7"), HasSubstr("-advertise"))));
  Settings none;
  EXPECT_THAT(finish({}, none), ElementsAre(HasSubstr("bind_addr: no private address found")));
  Settings told;
  told.advertise_address = "203.0.113.9";
  EXPECT_THAT(finish({"10.0.0.5", "192.168.0.7"}, told), IsEmpty());
  Settings bound;
  bound.bind_address = "192.168.0.7";
  EXPECT_THAT(finish({"10.0.0.5", "192.168.0.7"}, bound), IsEmpty());
  EXPECT_EQ(bound.advertise_address, "192.168.0.7");
}

TEST_F(SettingsTest, ValidateFindsTheSameErrorsAsTheStart) {
  const auto file = write("a.json", R"({"data_dir": "/d", "bind_addr": "127.0.0.1",
                                        "node_name": "x y", "nope": 1, "ports": {"dns": "q"}})");
  const auto started = load_settings({"-config-file", file});
  EXPECT_EQ(started.errors.size(), 3u);
  EXPECT_EQ(load_setting_files({file}).errors, started.errors);
  EXPECT_EQ(load_setting_files({folder_.string()}).errors, started.errors);
}

// ---- the table itself ----

TEST(SettingTable, NamesAreUniqueAndEverySettingIsDocumented) {
  std::set<std::string_view> keys, flags;
  for (const Setting& setting : setting_table()) {
    EXPECT_TRUE(!setting.key.empty() || !setting.flag.empty());
    EXPECT_TRUE(setting.key.empty() || keys.insert(setting.key).second) << setting.key;
    EXPECT_TRUE(setting.flag.empty() || flags.insert(setting.flag).second) << setting.flag;
    EXPECT_FALSE(setting.doc.empty()) << setting.key;
    const bool effect =
        setting.type != SettingType::NoEffect && setting.type != SettingType::Silent;
    EXPECT_EQ(static_cast<bool>(setting.set), effect) << setting.key;
    EXPECT_TRUE(setting.type != SettingType::Int || setting.low < setting.high) << setting.key;
  }
}

TEST(SettingTable, HelpNamesEveryFlagWithAnEffect) {
  const std::string help = settings_help();
  for (const Setting& setting : setting_table()) {
    if (setting.flag.empty() || !setting.set) continue;
    EXPECT_THAT(help, HasSubstr("  -" + std::string(setting.flag) + "\n"));
  }
}

TEST_F(SettingsTest, SnapshotScheduleIsReadAndChecked) {
  const auto file = write("s.json", R"({"snapshot_schedule": {"interval": "1h", "retain": 7,
                                        "stale": true, "path": "/backup"}})");
  const auto good = load({"-server", "-config-file=" + file});
  EXPECT_THAT(good.errors, IsEmpty());
  EXPECT_EQ(good.settings.snapshot_interval, std::chrono::hours(1));
  EXPECT_EQ(good.settings.snapshot_retain, 7);
  EXPECT_TRUE(good.settings.snapshot_stale);
  EXPECT_EQ(good.settings.snapshot_path, "/backup");
  EXPECT_THAT(load({"-config-file=" + file}).errors,
              Contains(HasSubstr("snapshot_schedule.interval: needs server mode")));
  const auto bad = write("bad.json", R"({"snapshot_schedule": {"interval": "10ms", "retain": 0,
                                         "path": "backup"}})");
  EXPECT_THAT(load({"-server", "-config-file=" + bad}).errors,
              Contains(HasSubstr("snapshot_schedule.retain")));
  const auto bad2 = write("bad2.json", R"({"snapshot_schedule": {"interval": "10ms",
                                          "path": "backup"}})");
  EXPECT_THAT(load({"-server", "-config-file=" + bad2}).errors,
              AllOf(Contains(HasSubstr("interval: must be 0s or at least 1s")),
                    Contains(HasSubstr("path: \"backup\" is not an absolute path"))));
}

}  // namespace
}  // namespace fyr::app
