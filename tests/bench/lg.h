// Shared by the modes of lg (lg.cpp): clock, histogram, options, connections, response reader.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <map>
#include <queue>
#include <string>
#include <thread>
#include <vector>

using std::string;
static int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}
[[noreturn]] static void die(const string& m) {
  fprintf(stderr, "lg: %s\n", m.c_str());
  exit(2);
}

// ---- histogram: log-linear, 64 steps per power of two, under 1.6 % error
struct Hist {
  std::vector<uint64_t> b = std::vector<uint64_t>(64 * 60);
  uint64_t n = 0;
  int64_t mx = 0, mn = INT64_MAX;
  double sum = 0;
  static size_t idx(uint64_t v) {
    if (v < 64) return v;
    int e = 63 - __builtin_clzll(v);
    return (size_t)(e - 5) * 64 + ((v >> (e - 6)) & 63);
  }
  static double val(size_t i) {
    if (i < 64) return i;
    size_t e = i / 64 + 5, s = i % 64;
    return (double)((64 + s) << (e - 6)) + (double)(1ULL << (e - 6)) / 2;
  }
  void add(int64_t v) {
    if (v < 0) v = 0;
    b[idx(v)]++;
    n++;
    sum += v;
    mx = std::max(mx, v);
    mn = std::min(mn, v);
  }
  double q(double p) const {
    if (!n) return 0;
    uint64_t want = (uint64_t)(p * (n - 1)) + 1, c = 0;
    for (size_t i = 0; i < b.size(); i++) {
      c += b[i];
      if (c >= want) return std::min(val(i), (double)mx);
    }
    return mx;
  }
  string json() const {
    char s[400];
    snprintf(s, sizeof s,
             "{\"n\":%llu,\"mean_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
             "\"p999_us\":%.1f,\"max_us\":%.1f}",
             (unsigned long long)n, n ? sum / n / 1e3 : 0, q(.5) / 1e3, q(.9) / 1e3, q(.99) / 1e3,
             q(.999) / 1e3, mx / 1e3);
    return s;
  }
};

// ---- options
static std::map<string, std::vector<string>> opt;
static string gs(const string& k, const string& d = "") {
  auto i = opt.find(k);
  return i == opt.end() ? d : i->second.back();
}
static double gd(const string& k, double d) {
  return opt.count(k) ? atof(gs(k).c_str()) : d;
}
static bool gb(const string& k) {
  return opt.count(k);
}

static sockaddr_in addr(const string& hp) {
  auto c = hp.rfind(':');
  string h = c == string::npos ? "127.0.0.1" : hp.substr(0, c);
  int p = atoi(hp.c_str() + (c == string::npos ? 0 : c + 1));
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(p);
  if (inet_pton(AF_INET, h.c_str(), &a.sin_addr) != 1) die("bad address " + hp);
  if ((ntohl(a.sin_addr.s_addr) >> 24) != 127) die("only 127.0.0.0/8 is allowed: " + hp);
  return a;
}

// ---- HTTP response reader
struct Resp {
  enum { HEAD, LEN, CSIZE, CDATA, CCRLF, TRAIL, EOFBODY, DONE } st = HEAD;
  string head;
  string body;  // kept only if keep
  bool keep = false, close = false;
  int status = 0;
  uint64_t left = 0, bytes = 0;
  uint64_t index = 0;
  string line;
  void reset() {
    st = HEAD;
    head.clear();
    body.clear();
    line.clear();
    close = false;
    status = 0;
    left = bytes = index = 0;
  }
  static bool ieq(const char* a, const char* b, size_t n) { return strncasecmp(a, b, n) == 0; }
  void parse_head() {
    status = head.size() > 12 ? atoi(head.c_str() + 9) : 0;
    bool chunked = false, haslen = false;
    size_t p = head.find("\r\n");
    while (p != string::npos && p + 2 < head.size()) {
      const char* l = head.c_str() + p + 2;
      if (ieq(l, "content-length:", 15))
        haslen = true, left = strtoull(l + 15, 0, 10);
      else if (ieq(l, "transfer-encoding:", 18))
        chunked = true;
      else if (ieq(l, "connection: close", 17))
        close = true;
      else if (ieq(l, "x-consul-index:", 15))
        index = strtoull(l + 15, 0, 10);
      p = head.find("\r\n", p + 2);
    }
    if (status == 204 || status == 304 || (status >= 100 && status < 200))
      st = DONE;
    else if (chunked)
      st = CSIZE;
    else if (haslen)
      st = left ? LEN : DONE;
    else
      st = EOFBODY, close = true;
  }
  // feed; returns bytes used
  size_t feed(const char* d, size_t n) {
    size_t i = 0;
    while (i < n && st != DONE) {
      switch (st) {
        case HEAD: {
          size_t old = head.size();
          size_t take = std::min(n - i, (size_t)16384);
          head.append(d + i, take);
          size_t from = old > 3 ? old - 3 : 0;
          size_t e = head.find("\r\n\r\n", from);
          if (e == string::npos) {
            i += take;
            if (head.size() > 65536) die("response head too long");
          } else {
            i += e + 4 - old;
            head.resize(e + 2);
            parse_head();
          }
          break;
        }
        case LEN:
        case CDATA: {
          size_t k = std::min<uint64_t>(left, n - i);
          if (keep) body.append(d + i, k);
          i += k;
          left -= k;
          bytes += k;
          if (!left) st = st == LEN ? DONE : CCRLF, line.clear();
          break;
        }
        case CCRLF:
          if (d[i++] == '\n') st = CSIZE, line.clear();
          break;
        case CSIZE:
          if (d[i] == '\n') {
            left = strtoull(line.c_str(), 0, 16);
            st = left ? CDATA : TRAIL;
            line.clear();
          } else
            line += d[i];
          i++;
          break;
        case TRAIL:
          if (d[i] == '\n') {
            if (line.empty() || line == "\r") st = DONE;
            line.clear();
          } else
            line += d[i];
          i++;
          break;
        case EOFBODY:
          bytes += n - i;
          i = n;
          break;
        default:
          break;
      }
    }
    return i;
  }
};

struct Conn {
  int fd = -1;
  bool connecting = false, busy = false, want_out = false;
  int64_t due = 0, sent = 0;
  string out;
  size_t off = 0;
  Resp r;
  uint64_t served = 0;
  size_t id = 0;
};

static int ep;
static void ctl(int op, Conn* c, uint32_t ev) {
  epoll_event e{};
  e.events = ev;
  e.data.ptr = c;
  epoll_ctl(ep, op, c->fd, &e);
}
static int wait_ns(epoll_event* ev, int n, int64_t ns) {
  if (ns < 0) ns = 0;
  timespec t{ns / 1000000000, ns % 1000000000};
  return epoll_pwait2(ep, ev, n, &t, nullptr);
}

static std::vector<sockaddr_in> targets;
static string method, path_t, body_t, host_h, extra_h;
static bool keepalive = true;
static uint64_t seq_no = 0, mod_n = 0;
static string expand(const string& t, uint64_t i) {
  if (t.find('{') == string::npos) return t;
  string o;
  for (size_t p = 0; p < t.size();) {
    if (t.compare(p, 3, "{i}") == 0)
      o += std::to_string(i), p += 3;
    else if (t.compare(p, 3, "{m}") == 0)
      o += std::to_string(mod_n ? i % mod_n : i), p += 3;
    else
      o += t[p++];
  }
  return o;
}
static bool tmpl;
static string fixed_req;
static string make_req() {
  if (!tmpl && !fixed_req.empty()) return fixed_req;
  uint64_t i = seq_no++;
  string p = expand(path_t, i), b = expand(body_t, i);
  string q = method + " " + p + " HTTP/1.1\r\nHost: " + host_h + "\r\n" + extra_h;
  if (!keepalive) q += "Connection: close\r\n";
  if (!b.empty() || method == "PUT" || method == "POST")
    q += "Content-Length: " + std::to_string(b.size()) + "\r\n";
  q += "\r\n" + b;
  fixed_req = q;
  return q;
}

struct Stats {
  Hist h;
  uint64_t ok = 0, e_conn = 0, e_reset = 0, e_timeout = 0, e_status = 0, bytes = 0, opened = 0,
           slow = 0, resent = 0;
  std::map<int, uint64_t> codes;
  int64_t first_err = 0, last_err = 0, first_slow = 0, last_slow = 0;
  int64_t slow_ns = INT64_MAX;
  uint64_t errs() const { return e_conn + e_reset + e_timeout + e_status; }
  void err(uint64_t& k) {
    k++;
    int64_t t = now_ns();
    if (!first_err) first_err = t;
    last_err = t;
  }
};
static Stats S;

static bool open_conn(Conn* c, size_t which) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die(string("socket: ") + strerror(errno));
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  S.opened++;
  auto& a = targets[which % targets.size()];
  c->r.reset();
  c->served = 0;
  int rc = connect(c->fd, (sockaddr*)&a, sizeof a);
  if (rc == 0) {
    c->connecting = false;
    ctl(EPOLL_CTL_ADD, c, EPOLLIN);
    return true;
  }
  if (errno != EINPROGRESS) {
    close(c->fd);
    c->fd = -1;
    return false;
  }
  c->connecting = true;
  ctl(EPOLL_CTL_ADD, c, EPOLLIN | EPOLLOUT);
  return true;
}
static void shut(Conn* c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  c->connecting = c->want_out = false;
  c->off = 0;
}
// returns false on a write error
static bool flush(Conn* c) {
  while (c->off < c->out.size()) {
    ssize_t k = send(c->fd, c->out.data() + c->off, c->out.size() - c->off, MSG_NOSIGNAL);
    if (k > 0)
      c->off += k;
    else if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (!c->want_out) c->want_out = true, ctl(EPOLL_CTL_MOD, c, EPOLLIN | EPOLLOUT);
      return true;
    } else
      return false;
  }
  if (c->want_out) c->want_out = false, ctl(EPOLL_CTL_MOD, c, EPOLLIN);
  return true;
}
static char rbuf[1 << 18];
