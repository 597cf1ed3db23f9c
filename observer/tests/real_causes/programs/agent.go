package main

import (
	"bufio"
	"encoding/hex"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	every, _ := strconv.Atoi(os.Getenv("EVERY_MS"))
	agent, err := net.Dial("unixgram", os.Getenv("SOCKET"))
	if err != nil {
		panic(err)
	}
	go func() { time.Sleep(time.Hour) }()
	lines := bufio.NewScanner(os.Stdin)
	var beats [][]byte
	for lines.Scan() {
		beat, err := hex.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		beats = append(beats, beat)
	}
	for at, beat := range beats {
		if at > 0 {
			time.Sleep(time.Duration(every) * time.Millisecond)
		}
		if _, err := agent.Write(beat); err != nil {
			panic(err)
		}
	}
	switch os.Args[1] {
	case "mutex":
		var mutex sync.Mutex
		mutex.Lock()
		mutex.Lock()
	case "channel":
		<-make(chan int)
	case "spin":
		for i := 0; ; i++ {
		}
	}
}
