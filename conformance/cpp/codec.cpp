// The codec of varta_codec.hpp.

#include <algorithm>
#include <system_error>

#include <varta_codec.hpp>

extern "C" {
#include "../c/codec.h"
}

namespace {

using Bytes = const std::uint8_t *;

// The array that starts there.
template <typename Array> Array array(Bytes from)
{
    Array copy;
    std::copy_n(from, copy.size(), copy.begin());
    return copy;
}

// Calls a function of varta_codec.hpp, and returns the result as varta.h does.
template <typename Call> int put(std::uint8_t *ret, Call call)
{
    std::error_code error;
    const auto result = call(error);
    if (!error)
        std::copy(result.begin(), result.end(), ret);
    return -error.value();
}

int frame_encode(std::uint8_t *ret, const varta_frame *frame)
{
    return put(ret, [=](auto &error) { return varta::frame_encode(*frame, error); });
}

int frame_decode(varta_frame *ret, Bytes wire, std::size_t length, std::uint8_t version)
{
    std::error_code error;
    const int wrong = varta::frame_decode(*ret, wire, length, version, error);
    return error ? -error.value() : wrong;
}

int crc32c(std::uint32_t *ret, Bytes bytes, std::size_t length)
{
    std::error_code error;
    *ret = varta::crc32c(bytes, length, error);
    return -error.value();
}

int derive_agent_key(std::uint8_t *ret, Bytes master, std::uint32_t pid)
{
    return put(ret, [=](auto &error) {
        return varta::derive_agent_key(array<varta::Key>(master), pid, error);
    });
}

int derive_iv_prefix(std::uint8_t *ret, Bytes salt, std::uint32_t index)
{
    return put(ret, [=](auto &error) {
        return varta::derive_iv_prefix(array<varta::Salt>(salt), index, error);
    });
}

int frame_seal(std::uint8_t *ret, Bytes key, Bytes iv_prefix, std::uint32_t iv_counter, Bytes frame)
{
    return put(ret, [=](auto &error) {
        return varta::frame_seal(array<varta::Key>(key), array<varta::Prefix>(iv_prefix),
                                 iv_counter, array<varta::Wire>(frame), error);
    });
}

int frame_seal_as(std::uint8_t *ret, Bytes key, std::uint32_t pid, Bytes iv_prefix,
                  std::uint32_t iv_counter, Bytes frame)
{
    return put(ret, [=](auto &error) {
        return varta::frame_seal_as(array<varta::Key>(key), pid, array<varta::Prefix>(iv_prefix),
                                    iv_counter, array<varta::Wire>(frame), error);
    });
}

int frame_open(std::uint8_t *ret, Bytes key, Bytes wire, std::size_t length)
{
    return put(ret, [=](auto &error) {
        return varta::frame_open(array<varta::Key>(key), wire, length, error);
    });
}

int frame_open_from(std::uint8_t *ret, Bytes key, Bytes wire, std::size_t length)
{
    return put(ret, [=](auto &error) {
        return varta::frame_open_from(array<varta::Key>(key), wire, length, error);
    });
}

}  // namespace

// In the order of the struct, because C++17 has no designated initialisers.
extern "C" const struct codec codec = {
    frame_encode, frame_decode,  crc32c,     derive_agent_key, derive_iv_prefix,
    frame_seal,   frame_seal_as, frame_open, frame_open_from,
};
