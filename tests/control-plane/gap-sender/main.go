// Sends a numbered datagram every millisecond from the moment it runs, and tells of every stranger that reaches it.
//
//	gap-sender [-quick DURATION] [-pause DURATION] [-listen PORT] NAME ADDRESS:PORT...
//
// The targets take turns: number 0 goes to the first of them. A number whose sending is refused is sent again, so that
// a gap in what arrives was lost on the way. After the quick time there is a longer pause between two numbers. It
// prints lines: "begins", "received NUMBER-OF-DATAGRAMS from ADDRESS", and "sent N, M refused" when the quick time is
// over.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const tick = time.Millisecond

func main() {
	begin := time.Now()
	quick := flag.Duration("quick", 3*time.Second, "how long there is a datagram every millisecond")
	pause := flag.Duration("pause", 50*time.Millisecond, "between two datagrams after that")
	listen := flag.Int("listen", 7000, "the port to send from, and to listen on")
	flag.Parse()
	name, words := flag.Arg(0), flag.Args()
	if len(words) < 2 {
		fail(fmt.Errorf("no name, or no target: %q", words))
	}
	var targets []netip.AddrPort
	for _, word := range words[1:] {
		target, err := netip.ParseAddrPort(word)
		fail(err)
		targets = append(targets, target)
	}
	// They are not connected: nobody's error messages keep them from sending.
	v4, err := net.ListenUDP("udp4", &net.UDPAddr{Port: *listen})
	fail(err)
	v6, err := net.ListenUDP("udp6", &net.UDPAddr{Port: *listen})
	fail(err)
	send := func(number int) error {
		target, socket := targets[number%len(targets)], v6
		if target.Addr().Is4() {
			socket = v4
		}
		text := fmt.Sprintf("%s %d %d", name, number, time.Now().UnixNano())
		_, err := socket.WriteToUDPAddrPort([]byte(text), target)
		return err
	}
	sent, refused := 0, 0
	attempt := func() {
		if send(sent) == nil {
			sent++
		} else {
			refused++
		}
	}
	// One for each target at once, before anything else is done.
	for range targets {
		attempt()
	}
	fmt.Println("begins")
	go receive(v4)
	go receive(v6)
	// The first process of a namespace has to ask for the signal that ends it.
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		os.Exit(0)
	}()

	ticks := time.NewTicker(tick)
	for now := range ticks.C {
		elapsed := now.Sub(begin)
		if elapsed > *quick {
			break
		}
		// Whoever had to wait for the processor catches up.
		for due := int(elapsed / tick); sent+refused < due; {
			attempt()
		}
	}
	ticks.Stop()
	fmt.Printf("sent %d, %d refused\n", sent, refused)
	for range time.Tick(*pause) {
		attempt()
	}
}

// Tells of the first datagram of every sender, and of its tenth, hundredth and so on.
func receive(socket *net.UDPConn) {
	counts := map[netip.Addr]int{}
	buffer := make([]byte, 64)
	for {
		_, from, err := socket.ReadFromUDPAddrPort(buffer)
		if err != nil {
			continue
		}
		address := from.Addr().Unmap()
		counts[address]++
		power := 1
		for power < counts[address] {
			power *= 10
		}
		if power == counts[address] {
			fmt.Printf("received %d from %s\n", power, address)
		}
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gap-sender:", err)
		os.Exit(1)
	}
}
