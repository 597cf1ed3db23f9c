/*
 * The codec to check the vectors with: varta.h itself, or varta_codec.hpp. Each function has the
 * name of one in varta.h, without the prefix.
 */
#ifndef CODEC_H
#define CODEC_H

#include <varta.h>

struct codec {
    int (*frame_encode)(uint8_t *ret, const varta_frame *frame);
    int (*frame_decode)(varta_frame *ret, const uint8_t *wire, size_t length, uint8_t version);
    int (*crc32c)(uint32_t *ret, const uint8_t *bytes, size_t length);
    int (*derive_agent_key)(uint8_t *ret, const uint8_t *master, uint32_t pid);
    int (*derive_iv_prefix)(uint8_t *ret, const uint8_t *salt, uint32_t index);
    int (*frame_seal)(uint8_t *ret, const uint8_t *key, const uint8_t *iv_prefix,
                      uint32_t iv_counter, const uint8_t *frame);
    int (*frame_seal_as)(uint8_t *ret, const uint8_t *key, uint32_t pid, const uint8_t *iv_prefix,
                         uint32_t iv_counter, const uint8_t *frame);
    int (*frame_open)(uint8_t *ret, const uint8_t *key, const uint8_t *wire, size_t length);
    int (*frame_open_from)(uint8_t *ret, const uint8_t *key, const uint8_t *wire, size_t length);
};

/* Defined by both the C and the C++ runner. */
extern const struct codec codec;

#endif
