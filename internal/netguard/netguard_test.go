package netguard

import (
	"net/netip"
	"testing"
)

func TestAttack_R3_AddressesOffTheInternetAreKnown(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": true, "10.0.0.1": true, "172.16.0.1": true, "192.168.1.1": true, "169.254.169.254": true, "0.0.0.0": true, "0.1.2.3": true,
		"100.64.0.1": true, "100.127.255.255": true, "192.0.0.192": true, "198.18.0.1": true, "240.0.0.1": true, "255.255.255.255": true, "224.0.0.1": true,
		"::": true, "::1": true, "::127.0.0.1": true, "::ffff:10.0.0.1": true, "fe80::1%eth0": true, "fec0::1": true, "fd00:ec2::254": true, "ff02::1": true,
		"64:ff9b::7f00:1": true, "64:ff9b::a9fe:a9fe": true, "64:ff9b:1::1": true, "2002:7f00:1::1": true,
		"168.63.129.16": true, "2001:0:4136:e378:8000:63bf:3fff:fdd2": true, "::ffff:0:7f00:1": true, "168.63.129.17": false, "2001:4860:4860::8888": false,
		"8.8.8.8": false, "100.63.255.255": false, "100.128.0.1": false, "172.32.0.1": false, "192.0.1.1": false, "2606:4700::1111": false, "64:ff9b::808:808": false, "::ffff:8.8.8.8": false,
	} {
		if got := IsPrivate(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: private is %v", text, got)
		}
	}
	if !IsPrivate(netip.Addr{}) {
		t.Error("no address is one of the internet")
	}
}
