// SPDX-License-Identifier: Apache-2.0
//
// safetensors files whose framing, header or entries are wrong.
#include "HostileCases.h"

#include <sys/stat.h>

using nlohmann::json;

namespace lfmc::hostile {
namespace {

constexpr const char *fileName = "model.safetensors";
// The first and the second tensor of the file, and a layer's.
constexpr const char *first = "model.embed_tokens.weight";
constexpr const char *second = "model.layers.0.operator_norm.weight";

Case raw(const char *name, std::function<void(RawFile &)> edit,
         std::vector<std::string> message) {
  message.push_back(fileName);
  return {name, Stage::Checkpoint, Base::Single,
          [edit](const Path &dir) {
            RawFile file = readRaw(dir / fileName);
            edit(file);
            writeRaw(dir / fileName, file);
          },
          std::move(message)};
}

Case bytes(const char *name, std::function<std::string(std::string)> edit,
           std::vector<std::string> message) {
  message.push_back(fileName);
  return {name, Stage::Checkpoint, Base::Single,
          [edit](const Path &dir) {
            writeFile(dir / fileName, edit(readFile(dir / fileName)));
          },
          std::move(message)};
}

Case header(const char *name, std::function<std::string(std::string)> edit,
            std::vector<std::string> message) {
  message.push_back(fileName);
  return {name, Stage::Checkpoint, Base::Single,
          [edit](const Path &dir) { editHeader(dir / fileName, edit); },
          std::move(message)};
}

/// Replaces the text of one entry's value.
Case entry(const char *name, const char *key, const char *value,
           std::vector<std::string> message, const char *tensor = first) {
  message.push_back(fileName);
  message.push_back(tensor);
  std::string keyText = key, valueText = value, tensorText = tensor;
  return {name, Stage::Checkpoint, Base::Single,
          [=](const Path &dir) {
            editHeader(dir / fileName, [&](const std::string &text) {
              json all = json::parse(text);
              all[tensorText][keyText] = "@@";
              std::string edited = all.dump();
              return edited.replace(edited.find("\"@@\""), 4, valueText);
            });
          },
          std::move(message)};
}

Case entries(const char *name, std::function<void(json &)> edit,
             std::vector<std::string> message) {
  message.push_back(fileName);
  return {name, Stage::Checkpoint, Base::Single,
          [edit](const Path &dir) { editHeaderJson(dir / fileName, edit); },
          std::move(message)};
}

std::string repeat(const std::string &text, size_t times) {
  std::string out;
  out.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i)
    out += text;
  return out;
}

} // namespace

std::vector<Case> headerCases() {
  return {
      bytes("EmptyFile", [](auto) { return std::string(); }, {"is empty"}),
      bytes("SevenBytes", [](auto text) { return text.substr(0, 7); },
            {"7 bytes are too few"}),
      bytes("LengthFieldOnly", [](auto text) { return text.substr(0, 8); },
            {"in a file of 8 bytes", "truncated"}),
      bytes("TruncatedInHeader", [](auto text) { return text.substr(0, 100); },
            {"in a file of 100 bytes", "truncated"}),
      bytes("TruncatedByOneByte",
            [](auto text) { return text.substr(0, text.size() - 1); },
            {"embedding_norm.weight", "data ends at"}),
      bytes("TruncatedAfterHeader",
            [](auto text) {
              uint64_t length;
              std::memcpy(&length, text.data(), 8);
              return text.substr(0, 8 + length);
            },
            {"holds 0 bytes of data"}),
      bytes("TrailingBytes", [](auto text) { return text + "xyz"; },
            {"last 3 bytes of data belong to no tensor"}),
      raw("HeaderLengthZero", [](RawFile &f) { f.length = 0; },
          {"does not start with '{'"}),
      raw("HeaderLengthOne", [](RawFile &f) { f.length = 1; },
          {"invalid JSON"}),
      raw("HeaderLengthBeyondFile", [](RawFile &f) { f.length = 9'000'000; },
          {"header of 9000000 bytes", "truncated"}),
      raw("HeaderLengthHuge", [](RawFile &f) { f.length = uint64_t(1) << 63; },
          {"header of 9223372036854775808 bytes, expected at most 100000000"}),
      raw("HeaderLengthAllOnes", [](RawFile &f) { f.length = ~uint64_t(0); },
          {"header of 18446744073709551615 bytes"}),
      {"HeaderLongerThanTheLimit",
       Stage::Checkpoint,
       Base::Single,
       [](const Path &dir) { // a sparse file
         RawFile file = readRaw(dir / fileName);
         file.length = 150'000'000;
         writeRaw(dir / fileName, file);
         std::filesystem::resize_file(dir / fileName, 200'000'000);
       },
       {"header of 150000000 bytes, expected at most 100000000"}},
      {"HeaderOfZeroBytes",
       Stage::Checkpoint,
       Base::Single,
       [](const Path &dir) {
         writeRaw(dir / fileName, {"{", "", 90'000'000});
         std::filesystem::resize_file(dir / fileName, 90'000'008);
       },
       {"invalid JSON"}},
      header("HeaderIsArray", [](auto) { return std::string("[]"); },
             {"does not start with '{'"}),
      header("HeaderStartsWithSpace", [](auto text) { return " " + text; },
             {"does not start with '{'"}),
      header("HeaderEndsEarly",
             [](auto text) { return text.substr(0, text.size() / 2); },
             {"invalid JSON"}),
      header("HeaderHasTwoObjects", [](auto) { return std::string("{}{}"); },
             {"invalid JSON"}),
      header("HeaderIsNotUtf8",
             [](auto text) {
               return text.replace(text.find("model."), 5, "mod\xff\xfe");
             },
             {"invalid JSON"}),
      header("HeaderWithoutTensors", [](auto) { return std::string("{}"); },
             {"belong to no tensor"}),
      header("HeaderDeepArrays",
             [](auto) {
               return "{\"a\":{\"shape\":" + repeat("[", 5'000'000) + "}}";
             },
             {"tensor 'a'", "an array in shape"}),
      header("HeaderDeepObjects",
             [](auto) { return repeat("{\"a\":", 3'000'000); }, {"tensor 'a'"}),
      header("HeaderDeepMetadata",
             [](auto) {
               return "{\"__metadata__\":" + repeat("{\"a\":", 3'000'000);
             },
             {"'__metadata__' holds an object"}),
      header("HeaderOfManyTensors",
             [](auto) {
               std::string text = "{";
               for (int i = 0; i < 400'000; ++i)
                 text += "\"t" + std::to_string(i) +
                         "\":{\"dtype\":\"F32\",\"shape\":[1],"
                         "\"data_offsets\":[0,4]},";
               text.back() = '}';
               return text;
             },
             {"overlap"}),
      entries("MetadataValueIsNumber",
              [](json &h) {
                h["__metadata__"] = {{"a", 1}};
              },
              {"'__metadata__' holds a number, expected strings"}),
      entries("MetadataIsString", [](json &h) { h["__metadata__"] = "x"; },
              {"'__metadata__' is a string, expected an object"}),
      header(
          "MetadataTwice",
          [](auto text) { return text.replace(0, 1, "{\"__metadata__\":{},"); },
          {"duplicate key '__metadata__'"}),
      header("TensorTwice",
             [](auto text) {
               return text.replace(0, 1,
                                   std::string("{\"") + second +
                                       "\":{\"dtype\":\"BF16\",\"shape\":[0],"
                                       "\"data_offsets\":[0,0]},");
             },
             {std::string("duplicate tensor '") + second + "'"}),
  };
}

std::vector<Case> entryCases() {
  return {
      entry("DtypeUnknown", "dtype", "\"Q4_0\"", {"unknown dtype 'Q4_0'"}),
      entry("DtypeIsNumber", "dtype", "16", {"dtype is a number"}),
      entry("DtypeOfOtherSize", "dtype", "\"F32\"",
            {"bytes of data, expected 131072 for F32 [512, 64]"}),
      entry("ShapeIsString", "shape", "\"512x64\"", {"shape is a string"}),
      entry("ShapeHoldsString", "shape", "[\"512\", 64]",
            {"a string in shape"}),
      entry("ShapeHoldsNull", "shape", "[null]", {"null in shape"}),
      entry("ShapeNegative", "shape", "[-512, -64]",
            {"negative number -512 in shape"}),
      entry("ShapeFraction", "shape", "[512.5, 64]",
            {"'512.5' in shape is not an integer"}),
      entry("ShapeInfinite", "shape", "[1e999]", {"invalid JSON"},
            /*tensor=*/""),
      entry("ShapeBeyond64Bits", "shape", "[99999999999999999999, 1]",
            {"'99999999999999999999' in shape is not an integer in range"}),
      entry("ShapeBeyond63Bits", "shape", "[18446744073709551615]",
            {"dimension 18446744073709551615 is out of range"}),
      entry("ShapeProductOverflows", "shape",
            "[4611686018427387904, 4611686018427387904]", {"overflows"}),
      entry("ShapeProductWrapsToSize", "shape",
            // 2^33 * 2^31 * 2 bytes is 0 modulo 2^64
            "[8589934592, 2147483648]", {"overflows"}),
      entry("ShapeBytesOverflow", "shape", "[9223372036854775807]",
            {"overflows"}),
      entry("ShapeZeroHidesOverflow", "shape",
            "[0, 4611686018427387904, 4611686018427387904]", {"overflows"}),
      entry("ShapeTooSmall", "shape", "[512, 63]",
            {"found 65536 bytes of data, expected 64512 for BF16 [512, 63]"}),
      entry("ShapeEmpty", "shape", "[]", {"expected 2 for BF16 []"}),
      entry("ShapeOfNineDimensions", "shape", "[1,1,1,1,1,1,1,512,64]",
            {"more than 8 dimensions"}),
      entry("ShapeOfManyDimensions", "shape",
            ("[" + repeat("1,", 2'000'000) + "1]").c_str(),
            {"more than 8 dimensions"}),
      entry("OffsetsMissingOne", "data_offsets", "[0]",
            {"found 1 data_offsets, expected 2"}),
      entry("OffsetsThree", "data_offsets", "[0, 65536, 65536]",
            {"more than two data_offsets"}),
      entry("OffsetsBackwards", "data_offsets", "[65536, 0]",
            {"data_offsets [65536, 0] run backwards"}),
      entry("OffsetsNegative", "data_offsets", "[-65536, 0]",
            {"negative number -65536 in data_offsets"}),
      entry("OffsetsBeyondFile", "data_offsets", "[900000000, 900065536]",
            {"data ends at 900065536"}),
      entry("OffsetsOverflow", "data_offsets",
            "[18446744073709486079, 18446744073709551615]",
            {"data ends at 18446744073709551615"}),
      entry("OffsetsAreObject", "data_offsets", "{\"begin\": 0}",
            {"data_offsets is an object"}),
      entry("OffsetsTooWide", "data_offsets", "[0, 65538]",
            {"found 65538 bytes of data, expected 65536"}),
      entries("EntryWithoutDtype", [](json &h) { h[first].erase("dtype"); },
              {first, "no 'dtype'"}),
      entries("EntryWithoutShape", [](json &h) { h[first].erase("shape"); },
              {first, "no 'shape'"}),
      entries("EntryWithoutOffsets",
              [](json &h) { h[first].erase("data_offsets"); },
              {first, "no 'data_offsets'"}),
      entries("EntryWithUnknownKey",
              [](json &h) { h[first]["strides"] = json::array(); },
              {first, "unknown key 'strides'"}),
      entries("EntryIsNull", [](json &h) { h[first] = nullptr; },
              {first, "is null, expected an object"}),
      entries("EntryIsArray", [](json &h) { h[first] = json::array(); },
              {first, "is an array, expected an object"}),
      header("EntryKeyTwice",
             [](auto text) {
               size_t at = text.find("{\"data_offsets\"");
               if (at == std::string::npos)
                 at = text.find("{\"dtype\"");
               return text.replace(at, 1, "{\"dtype\":\"F32\",");
             },
             {"duplicate key 'dtype'"}),
      entries("RangesOverlap",
              [](json &h) {
                // Moved by half its size, into its neighbour.
                size_t begin = h[second]["data_offsets"][0];
                h[second]["data_offsets"] = {begin - 64, begin + 64};
              },
              {"overlap", second}),
      entries("RangesAreTheSame",
              [](json &h) {
                std::string other = "model.layers.0.ffn_norm.weight";
                h[other]["data_offsets"] = h[second]["data_offsets"];
              },
              {"overlap", second}),
      entries("RangesLeaveAHole", [](json &h) { h.erase(second); },
              {"128 bytes of data before tensor", "belong to no tensor"}),
  };
}

std::vector<Case> fileCases() {
  auto with = [](const char *name, std::function<void(const Path &)> mutate,
                 std::vector<std::string> message) {
    return Case{name, Stage::Checkpoint, Base::Single, std::move(mutate),
                std::move(message)};
  };
  return {
      with("NoWeights",
           [](const Path &dir) { std::filesystem::remove(dir / fileName); },
           {"has neither model.safetensors nor model.safetensors.index.json"}),
      with("OnlyPickledWeights",
           [](const Path &dir) {
             std::filesystem::rename(dir / fileName, dir / "pytorch_model.bin");
           },
           {"has neither model.safetensors", "'pytorch_model.bin'"}),
      with("WeightsAreADirectory",
           [](const Path &dir) {
             std::filesystem::remove(dir / fileName);
             std::filesystem::create_directory(dir / fileName);
           },
           {fileName, "is not a regular file"}),
      with("WeightsAreAPipe",
           [](const Path &dir) {
             std::filesystem::remove(dir / fileName);
             if (::mkfifo((dir / fileName).c_str(), 0600) != 0)
               throw std::runtime_error("mkfifo failed");
           },
           {fileName, "is not a regular file"}),
      with("WeightsAreADevice",
           [](const Path &dir) {
             std::filesystem::remove(dir / fileName);
             std::filesystem::create_symlink("/dev/zero", dir / fileName);
           },
           {fileName, "is not a regular file"}),
      with("WeightsLinkToThemselves",
           [](const Path &dir) {
             std::filesystem::remove(dir / fileName);
             std::filesystem::create_symlink(fileName, dir / fileName);
           },
           {"model.safetensors"}),
      with("NoCheckpointAtAll",
           [](const Path &dir) { std::filesystem::remove_all(dir); },
           {"is not a directory"}),
  };
}

} // namespace lfmc::hostile
