/* Checks the vectors (frames, checksums, keys and seals) with the codec of C or C++. */

#include "vectors.h"

#include <errno.h>
#include <string.h>

#include "codec.h"

/* Longer than any datagram of the vectors. */
enum { LONGEST = 65536 };

static uint8_t given[LONGEST];

static void expect_success(const char *what, int code)
{
    if (code != 0)
        fail(what, "no error", varta_strerror(code));
}

static uint8_t status(struct record *vector, const char *name)
{
    const char *word = text(vector, name);
    for (uint8_t known = VARTA_STATUS_OK; known <= VARTA_STATUS_CRITICAL; known++)
        if (strcmp(word, varta_status_name(known)) == 0)
            return known;
    fail(name, "the name of a status", word);
    return 0;
}

static varta_frame frame_of(struct record *vector, const char *prefix, uint8_t version)
{
    char name[6][64];
    static const char *const fields[] = {"status", "pid", "timestamp", "nonce", "payload"};
    for (int i = 0; i < 5; i++)
        snprintf(name[i], sizeof name[i], "%s.%s", prefix, fields[i]);
    varta_frame frame;
    memset(&frame, 0, sizeof frame);
    frame.version = version;
    frame.status = status(vector, name[0]);
    frame.pid = (uint32_t)number(vector, name[1], UINT32_MAX);
    frame.timestamp = number(vector, name[2], UINT64_MAX);
    frame.nonce = number(vector, name[3], UINT64_MAX);
    frame.payload = number(vector, name[4], version == 1 ? UINT64_MAX : UINT32_MAX);
    return frame;
}

static void both_ways(const varta_frame *frame, const uint8_t *wire)
{
    uint8_t encoded[VARTA_FRAME_BYTES] = {0};
    expect_success("encoding", codec.frame_encode(encoded, frame));
    same_bytes("encoding", wire, encoded, sizeof encoded);
    varta_frame decoded;
    memset(&decoded, 0, sizeof decoded);
    same_text("decoding", "unknown",
              varta_decode_error_name(codec.frame_decode(&decoded, wire, 32, frame->version)));
    same_number("status", frame->status, decoded.status);
    same_number("pid", frame->pid, decoded.pid);
    same_number("timestamp", frame->timestamp, decoded.timestamp);
    same_number("nonce", frame->nonce, decoded.nonce);
    same_number("payload", frame->payload, decoded.payload);
    same_number("version", frame->version, decoded.version);
}

static void refused(struct record *vector, uint8_t version)
{
    varta_frame frame;
    exactly(vector, "wire_hex", given, VARTA_FRAME_BYTES);
    int error = codec.frame_decode(&frame, given, VARTA_FRAME_BYTES, version);
    same_text("decoding", text(vector, "expected_decode_error"), varta_decode_error_name(error));
}

static void crc32c(struct record *vector)
{
    char hex[16];
    uint32_t crc = 0;
    size_t length = bytes(vector, "input_hex", given, LONGEST);
    expect_success("checksum", codec.crc32c(&crc, given, length));
    snprintf(hex, sizeof hex, "%08x", (unsigned)crc);
    same_text("checksum", text(vector, "expected_crc_hex"), hex);
}

static void encode_decode_roundtrip(struct record *vector)
{
    if (has(vector, "expected_decode_error"))
        fail("expected_decode_error", "null", "something");
    exactly(vector, "expected_wire_hex", given, VARTA_FRAME_BYTES);
    varta_frame frame = frame_of(vector, "inputs", 2);
    both_ways(&frame, given);
}

static void decode_error(struct record *vector)
{
    refused(vector, 2);
}

static void frame_length(struct record *vector)
{
    varta_frame frame;
    size_t length = bytes(vector, "wire_hex", given, LONGEST);
    for (uint8_t version = 1; version <= 2; version++) {
        int code = codec.frame_decode(&frame, given, length, version);
        same_text("decoding", varta_strerror(-EMSGSIZE), varta_strerror(code));
    }
}

static void v1_decode(struct record *vector)
{
    if (has(vector, "expected_decode_error")) {
        if (has(vector, "expected_fields.status"))
            fail("expected_fields", "null", "something");
        refused(vector, 1);
        return;
    }
    exactly(vector, "wire_hex", given, VARTA_FRAME_BYTES);
    varta_frame frame = frame_of(vector, "expected_fields", 1);
    both_ways(&frame, given);
}

static void same_key(struct record *vector, const char *name, int code, const uint8_t *derived,
                     size_t length)
{
    uint8_t expected[VARTA_KEY_BYTES];
    exactly(vector, name, expected, length);
    expect_success("derivation", code);
    same_bytes("derivation", expected, derived, length);
}

static void kdf_agent_key(struct record *vector)
{
    uint8_t master[VARTA_KEY_BYTES], key[VARTA_KEY_BYTES] = {0};
    exactly(vector, "master_key_hex", master, sizeof master);
    uint32_t pid = (uint32_t)number(vector, "agent_id", UINT32_MAX);
    same_key(vector, "expected_okm_hex", codec.derive_agent_key(key, master, pid), key, 32);
}

static void kdf_iv_prefix(struct record *vector)
{
    uint8_t salt[16], prefix[8] = {0};
    exactly(vector, "session_salt_hex", salt, sizeof salt);
    uint32_t index = (uint32_t)number(vector, "prefix_index", UINT32_MAX);
    same_key(vector, "expected_iv_prefix_hex", codec.derive_iv_prefix(prefix, salt, index), prefix,
             sizeof prefix);
}

static void shared_key_seal(struct record *vector)
{
    uint8_t key[VARTA_KEY_BYTES], prefix[8], plain[VARTA_FRAME_BYTES], wire[VARTA_SEALED_BYTES];
    uint8_t sealed[VARTA_SEALED_BYTES] = {0}, opened[VARTA_FRAME_BYTES] = {0};
    exactly(vector, "key_hex", key, sizeof key);
    exactly(vector, "iv_random_hex", prefix, sizeof prefix);
    exactly(vector, "plaintext_hex", plain, sizeof plain);
    exactly(vector, "expected_wire_hex", wire, sizeof wire);
    uint32_t counter = (uint32_t)number(vector, "iv_counter", UINT32_MAX);
    expect_success("sealing", codec.frame_seal(sealed, key, prefix, counter, plain));
    same_bytes("sealing", wire, sealed, sizeof wire);
    expect_success("opening", codec.frame_open(opened, key, wire, sizeof wire));
    same_bytes("opening", plain, opened, sizeof plain);
}

static uint32_t little_endian(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void master_key_seal(struct record *vector)
{
    uint8_t master[VARTA_KEY_BYTES], key[VARTA_KEY_BYTES] = {0}, prefix[8];
    uint8_t plain[VARTA_FRAME_BYTES], wire[VARTA_SEALED_AS_BYTES];
    uint8_t sealed[VARTA_SEALED_AS_BYTES] = {0}, opened[VARTA_FRAME_BYTES] = {0};
    exactly(vector, "master_key_hex", master, sizeof master);
    exactly(vector, "iv_random_hex", prefix, sizeof prefix);
    exactly(vector, "plaintext_hex", plain, sizeof plain);
    exactly(vector, "expected_wire_hex", wire, sizeof wire);
    uint32_t pid = (uint32_t)number(vector, "agent_pid", UINT32_MAX);
    uint32_t counter = (uint32_t)number(vector, "iv_counter", UINT32_MAX);
    same_key(vector, "derived_agent_key_hex", codec.derive_agent_key(key, master, pid), key, 32);
    expect_success("sealing", codec.frame_seal_as(sealed, key, pid, prefix, counter, plain));
    same_bytes("sealing", wire, sealed, sizeof wire);
    /* A sealing vector may seal any 32 bytes, but only a frame of that pid can be opened. */
    int code = codec.frame_open_from(opened, key, wire, sizeof wire);
    if (little_endian(plain + 4) == pid) {
        expect_success("opening", code);
        same_bytes("opening", plain, opened, sizeof plain);
    } else {
        same_text("opening", varta_strerror(-EBADMSG), varta_strerror(code));
    }
}

static void open_error(struct record *vector)
{
    uint8_t key[VARTA_KEY_BYTES], master[VARTA_KEY_BYTES], opened[VARTA_FRAME_BYTES];
    size_t length = bytes(vector, "wire_hex", given, LONGEST);
    int code;
    if (has(vector, "master_key_hex")) {
        exactly(vector, "master_key_hex", master, sizeof master);
        /* As in an observer, the first four bytes select the key. */
        uint32_t pid = length < 4 ? 0 : little_endian(given);
        expect_success("derivation", codec.derive_agent_key(key, master, pid));
        code = codec.frame_open_from(opened, key, given, length);
    } else {
        exactly(vector, "key_hex", key, sizeof key);
        code = codec.frame_open(opened, key, given, length);
    }
    same_text("opening", text(vector, "expected_open_error"),
              code == -EBADMSG ? "AuthError" : varta_strerror(code));
}

bool check_vector(const char *kind, struct record *vector)
{
    static const struct {
        const char *kind;
        void (*check)(struct record *);
    } all[] = {
        {"crc32c", crc32c},
        {"encode_decode_roundtrip", encode_decode_roundtrip},
        {"decode_error", decode_error},
        {"frame_length", frame_length},
        {"v1_decode", v1_decode},
        {"kdf_agent_key", kdf_agent_key},
        {"kdf_iv_prefix", kdf_iv_prefix},
        {"shared_key_seal", shared_key_seal},
        {"master_key_seal", master_key_seal},
        {"open_error", open_error},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(kind, all[i].kind) == 0) {
            all[i].check(vector);
            return true;
        }
    return false;
}
