#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/id.h"

namespace fyr {
namespace {

TEST(Hex, WritesLowerCaseAndReadsEither) {
  EXPECT_EQ(to_hex(std::string("\x00\x7f\xff", 3)), "007fff");
  EXPECT_EQ(from_hex("007Fff"), std::string("\x00\x7f\xff", 3));
  EXPECT_EQ(from_hex(""), "");
}

TEST(Hex, RefusesOddLengthAndOtherCharacters) {
  EXPECT_FALSE(from_hex("abc"));
  EXPECT_FALSE(from_hex("0g"));
}

// The vectors of RFC 4648 section 10.
TEST(Base64, AgreesWithTheRfc) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    EXPECT_EQ(to_base64(plain), coded);
    EXPECT_EQ(from_base64(coded), plain);
  }
}

TEST(Base64, RefusesWrongLengthCharactersAndPadding) {
  EXPECT_FALSE(from_base64("Zg="));
  EXPECT_FALSE(from_base64("Zg"));
  EXPECT_FALSE(from_base64("Z==="));
  EXPECT_FALSE(from_base64("Zm=v"));
  EXPECT_FALSE(from_base64("Zm9*"));
}

TEST(Base64, KeepsEveryByte) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(from_base64(to_base64(all)), all);
}

TEST(PercentCoding, DecodesOnceAndLeavesPlusAloneUnlessAsked) {
  EXPECT_EQ(percent_decode("a%20b%2525"), "a b%25");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  EXPECT_EQ(percent_decode("%00"), std::string(1, '\0'));
}

TEST(PercentCoding, RefusesBadEscapes) {
  EXPECT_FALSE(percent_decode("%"));
  EXPECT_FALSE(percent_decode("%4"));
  EXPECT_FALSE(percent_decode("abc%4"));
  EXPECT_FALSE(percent_decode("%zz"));
}

TEST(PercentCoding, EncodesAllButUnreserved) {
  EXPECT_EQ(percent_encode("aZ09-._~/ \xff"), "aZ09-._~%2F%20%FF");
}

TEST(BigEndian, WritesMostSignificantFirst) {
  std::string out;
  append_be16(out, 0x0102);
  append_be32(out, 0x03040506);
  append_be64(out, 0x0708090a0b0c0d0e);
  EXPECT_EQ(to_hex(out), "0102030405060708090a0b0c0d0e");
  EXPECT_EQ(read_be64(std::string_view(out).substr(6)), 0x0708090a0b0c0d0eull);
}

// RFC 3720 appendix B.4.
TEST(Crc32c, AgreesWithTheRfc) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(Crc32c, ContinuesFromASeed) {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(crc32c(text.substr(cut), crc32c(text.substr(0, cut))), crc32c(text));
  }
}

// FIPS 180-2 appendix B.1.
TEST(Sha256, AgreesWithTheStandard) {
  EXPECT_EQ(to_hex(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Text, ComparesAsciiWithoutCase) {
  EXPECT_TRUE(equals_ignoring_case("Content-Length", "content-LENGTH"));
  EXPECT_FALSE(equals_ignoring_case("a", "ab"));
  EXPECT_FALSE(equals_ignoring_case("[", "{"));  // differ by the same bit as letters
  EXPECT_EQ(to_lower("ÄbC"), "Äbc");
}

TEST(Text, TrimsBlanksAndTabsOnly) {
  EXPECT_EQ(trim(" \ta b\t "), "a b");
  EXPECT_EQ(trim(" \t"), "");
  EXPECT_EQ(trim("\na"), "\na");
}

TEST(Text, SplitsIntoOneMorePartThanSeparators) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
  EXPECT_EQ(split(",", ','), (std::vector<std::string_view>{"", ""}));
}

TEST(Text, CountsEdits) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("same", "same"), 0u);
}

TEST(Uuid, HasTheLayoutOfVersionFour) {
  const auto id = make_uuid();
  ASSERT_TRUE(is_uuid(id)) << id;
  EXPECT_EQ(id[14], '4');
  EXPECT_NE(std::string_view("89ab").find(id[19]), std::string_view::npos);
  EXPECT_NE(id, make_uuid());
}

TEST(Uuid, IsRecognisedByItsLayout) {
  EXPECT_TRUE(is_uuid("01234567-89AB-cdef-0123-456789abcdef"));
  EXPECT_FALSE(is_uuid("01234567-89ab-cdef-0123-456789abcde"));
  EXPECT_FALSE(is_uuid("0123456789ab-cdef-0123-456789abcdef-"));
  EXPECT_FALSE(is_uuid("g1234567-89ab-cdef-0123-456789abcdef"));
}

}  // namespace
}  // namespace fyr
