// varta_codec.hpp: the codec of varta.h from C++17, to write your own peer or to feed frames to a
// simulated observer. Each function is documented in varta.h under the same name. It returns what
// that function writes to ret, and reports errors as the functions of varta.hpp do.
//
//     const varta::Wire wire = varta::frame_encode(frame);
//     const varta::Key key = varta::derive_agent_key(master, pid);
//     const varta::SealedAs sealed = varta::frame_seal_as(key, pid, prefix, 0, wire);
//
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef VARTA_CODEC_HPP
#define VARTA_CODEC_HPP
#include <varta.hpp>

#include <array>

namespace varta {

using Wire = std::array<std::uint8_t, VARTA_FRAME_BYTES>;
using Sealed = std::array<std::uint8_t, VARTA_SEALED_BYTES>;
using SealedAs = std::array<std::uint8_t, VARTA_SEALED_AS_BYTES>;
using Key = std::array<std::uint8_t, VARTA_KEY_BYTES>;
using Salt = std::array<std::uint8_t, 16>;
using Prefix = std::array<std::uint8_t, 8>;

// Calls a function of varta.h and returns what it writes to its first pointer.
template <typename Array, typename Function, typename... Arguments>
Array written(Function function, const char *name, Errors errors, Arguments... arguments)
{
    Array array{};
    errors.take(function(array.data(), arguments...), name);
    return array;
}

[[nodiscard]] inline Wire frame_encode(const varta_frame &frame, Errors errors = {})
{
    return written<Wire>(varta_frame_encode, "frame_encode", errors, &frame);
}

// Returns 0 if the frame is valid, else a VARTA_DECODE_ number.
[[nodiscard]] inline int frame_decode(varta_frame &ret, const std::uint8_t *wire,
                                      std::size_t length, std::uint8_t version = 2,
                                      Errors errors = {})
{
    return errors.take(varta_frame_decode(&ret, wire, length, version), "frame_decode");
}

[[nodiscard]] inline std::uint32_t crc32c(const std::uint8_t *bytes, std::size_t length,
                                          Errors errors = {})
{
    std::uint32_t crc = 0;
    errors.take(varta_crc32c(&crc, bytes, length), "crc32c");
    return crc;
}

[[nodiscard]] inline Key derive_agent_key(const Key &master, std::uint32_t pid, Errors errors = {})
{
    return written<Key>(varta_derive_agent_key, "derive_agent_key", errors, master.data(), pid);
}

[[nodiscard]] inline Prefix derive_iv_prefix(const Salt &salt, std::uint32_t index,
                                             Errors errors = {})
{
    return written<Prefix>(varta_derive_iv_prefix, "derive_iv_prefix", errors, salt.data(), index);
}

[[nodiscard]] inline Sealed frame_seal(const Key &key, const Prefix &prefix, std::uint32_t counter,
                                       const Wire &frame, Errors errors = {})
{
    return written<Sealed>(varta_frame_seal, "frame_seal", errors, key.data(), prefix.data(),
                           counter, frame.data());
}

[[nodiscard]] inline SealedAs frame_seal_as(const Key &key, std::uint32_t pid,
                                            const Prefix &prefix, std::uint32_t counter,
                                            const Wire &frame, Errors errors = {})
{
    return written<SealedAs>(varta_frame_seal_as, "frame_seal_as", errors, key.data(), pid,
                             prefix.data(), counter, frame.data());
}

[[nodiscard]] inline Wire frame_open(const Key &key, const std::uint8_t *wire, std::size_t length,
                                     Errors errors = {})
{
    return written<Wire>(varta_frame_open, "frame_open", errors, key.data(), wire, length);
}

[[nodiscard]] inline Wire frame_open_from(const Key &key, const std::uint8_t *wire,
                                          std::size_t length, Errors errors = {})
{
    return written<Wire>(varta_frame_open_from, "frame_open_from", errors, key.data(), wire,
                         length);
}

}  // namespace varta

#endif  // VARTA_CODEC_HPP
