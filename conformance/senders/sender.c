/* A varta agent without a library: cc -o sender sender.c && ./sender /run/varta.sock */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void put(unsigned char *at, uint64_t number, int bytes) {
    for (; bytes > 0; bytes--, number >>= 8) *at++ = number & 255;
}

static void encode(unsigned char frame[32], uint64_t pid, uint64_t status, uint64_t timestamp, uint64_t nonce, uint64_t payload) {
    uint32_t crc = 0xffffffff;
    put(frame, 0x024156, 3), put(frame + 3, status, 1), /* "VA", version 2 */
    put(frame + 4, pid, 4), put(frame + 8, timestamp, 8), put(frame + 16, nonce, 8), put(frame + 24, payload, 4);
    for (int bit = 0; bit < 28 * 8; bit++)
        crc = crc >> 1 ^ ((crc ^ frame[bit / 8] >> bit % 8) & 1 ? 0x82f63b78 : 0);
    put(frame + 28, ~crc, 4);
}

int main(int argc, char **argv) {
    unsigned char frame[32];
    uint64_t in[5], nonce = 0;
    if (argc == 1) /* to be proven: "pid status timestamp nonce payload" in, frames in hex out */
        while (scanf("%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64, in, in + 1, in + 2, in + 3, in + 4) == 5) {
            encode(frame, in[0], in[1], in[2], in[3], in[4]);
            for (int i = 0; i < 32; i++) printf("%02x%s", frame[i], i < 31 ? "" : "\n");
        }
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timespec now;
    for (int fd = socket(AF_UNIX, SOCK_DGRAM, 0); argc > 1; usleep(500000)) { /* for usleep: the work */
        clock_gettime(CLOCK_MONOTONIC, &now);
        encode(frame, getpid(), 0, now.tv_sec * 1000000000ull + now.tv_nsec, ++nonce, 0);
        strncpy(to.sun_path, argv[1], sizeof to.sun_path - 1);
        sendto(fd, frame, 32, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to); /* never waits */
    }
}
