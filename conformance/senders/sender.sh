#!/usr/bin/env bash
# A varta agent in pure bash, over UDP: sender.sh /dev/udp/127.0.0.1/9000

little() { # NUMBER BYTES, little-endian, in hex
    local i
    for ((i = 0; i < $2; i++)); do printf %02x $(($1 >> 8 * i & 255)); done
}

encode() { # PID STATUS TIMESTAMP NONCE PAYLOAD
    local frame crc=$((0xffffffff)) i bit
    frame=564102$(little "$2" 1)$(little "$1" 4)$(little "$3" 8)$(little "$4" 8)$(little "$5" 4)
    for ((i = 0; i < 56; i += 2)); do
        ((crc ^= 0x${frame:i:2}))
        for bit in {1..8}; do ((crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0))); done
    done
    echo "$frame$(little $((crc ^ 0xffffffff)) 4)"
}

while (($# == 0)) && read -r -a numbers; do # reads fields, prints frames in hex
    encode "${numbers[@]}"
done
(($#)) || exit 0

exec 3>"$1"
for ((nonce = 1; ; nonce++)); do
    frame=$(encode $$ 0 "${EPOCHREALTIME/[.,]/}000" "$nonce" 0 | sed 's/../\\x&/g')
    printf "$frame" | dd bs=32 iflag=fullblock status=none >&3 2>/dev/null # in one datagram
    sleep 0.5 # replace by the work
done
