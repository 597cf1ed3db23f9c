/* A varta agent without a library: cc -o sender sender.c && ./sender /run/varta.sock */
#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct { uint8_t start[3], status; uint32_t pid; uint64_t timestamp, nonce; uint32_t payload, crc; } frame = {.start = {'V', 'A', 2}};

static void encode(uint32_t pid, uint8_t status, uint64_t timestamp, uint64_t nonce, uint32_t payload) {
    frame.status = status, frame.pid = htole32(pid), frame.timestamp = htole64(timestamp);
    frame.nonce = htole64(nonce), frame.payload = htole32(payload), frame.crc = 0xffffffff;
    for (int bit = 0; bit < 28 * 8; bit++)
        frame.crc = frame.crc >> 1 ^ ((frame.crc ^ ((uint8_t *)&frame)[bit / 8] >> bit % 8) & 1 ? 0x82f63b78 : 0);
    frame.crc = htole32(~frame.crc);
}

int main(int argc, char **argv) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timespec now;
    uint64_t in[5], nonce = 0; /* without a path: reads fields, prints frames in hex */
    while (argc == 1 && scanf("%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64, in, in + 1, in + 2, in + 3, in + 4) == 5) {
        encode(in[0], in[1], in[2], in[3], in[4]);
        for (int i = 0; i < 32; i++) printf("%02x%s", ((uint8_t *)&frame)[i], i < 31 ? "" : "\n");
    }
    for (int fd = socket(AF_UNIX, SOCK_DGRAM, 0); argc > 1; usleep(500000)) { /* replace usleep by the work */
        clock_gettime(CLOCK_MONOTONIC, &now);
        encode(getpid(), 0, now.tv_sec * 1000000000ull + now.tv_nsec, ++nonce, 0);
        strncpy(to.sun_path, argv[1], sizeof to.sun_path - 1);
        sendto(fd, &frame, 32, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to); /* never waits */
    }
}
