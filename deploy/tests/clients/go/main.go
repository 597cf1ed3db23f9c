// Reports by go-systemd until stdin ends.
package main

import (
	"io"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

func notify(state string) {
	if sent, err := daemon.SdNotify(false, state); err != nil || !sent {
		panic(err)
	}
}

func main() {
	notify(daemon.SdNotifyReady + "\nSTATUS=at work")
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		panic("WATCHDOG_USEC is not for this process")
	}
	go func() {
		for {
			time.Sleep(interval / 2)
			notify(daemon.SdNotifyWatchdog)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
	notify(daemon.SdNotifyStopping)
	os.Exit(3)
}
