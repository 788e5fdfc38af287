// The HTTP/1 parsers of the proxy on arbitrary bytes.
#include "tests/fuzz/http1_properties.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fyr::proxy::http1::check_http1({reinterpret_cast<const char*>(data), size});
  return 0;
}
