// A varta agent. `go run sender.go SOCKET` beats; without SOCKET it reads lines of fields and prints frames in hex.
package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"syscall"
	"time"
)

func frame(pid uint32, status uint8, timestamp, nonce uint64, payload uint32) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{0x56, 0x41, 0x02, status}, pid)
	b = binary.LittleEndian.AppendUint64(b, timestamp)
	b = binary.LittleEndian.AppendUint64(b, nonce)
	b = binary.LittleEndian.AppendUint32(b, payload)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func main() {
	for len(os.Args) < 2 {
		var pid, status, timestamp, nonce, payload uint64
		if n, _ := fmt.Scanf("%d %d %d %d %d\n", &pid, &status, &timestamp, &nonce, &payload); n < 5 {
			return
		}
		fmt.Printf("%x\n", frame(uint32(pid), uint8(status), timestamp, nonce, uint32(payload)))
	}
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	// Not package net, whose writes wait until the socket is writable. A failed beat is ignored.
	for start, nonce := time.Now(), uint64(1); ; nonce++ {
		beat := frame(uint32(os.Getpid()), 0, uint64(time.Since(start)), nonce, 0)
		_ = syscall.Sendto(fd, beat, syscall.MSG_DONTWAIT, &syscall.SockaddrUnix{Name: os.Args[1]})
		time.Sleep(250 * time.Millisecond)
	}
}
