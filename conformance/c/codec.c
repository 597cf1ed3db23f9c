/* The codec of varta.h. */

#include "codec.h"

const struct codec codec = {
    .frame_encode = varta_frame_encode,
    .frame_decode = varta_frame_decode,
    .crc32c = varta_crc32c,
    .derive_agent_key = varta_derive_agent_key,
    .derive_iv_prefix = varta_derive_iv_prefix,
    .frame_seal = varta_frame_seal,
    .frame_seal_as = varta_frame_seal_as,
    .frame_open = varta_frame_open,
    .frame_open_from = varta_frame_open_from,
};
