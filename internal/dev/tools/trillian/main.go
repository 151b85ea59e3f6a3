// Command trillian serves a log of Google's Trillian from memory, for a Rekor v1 in tests.
//
//	trillian -listen 127.0.0.1:8090
//
// It is the log server and its sequencer in one process, without a database. It prints
// "ready" on standard output when it listens, and ends when its standard input does: a test
// that dies leaves no process behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/google/trillian"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/log"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/server"
	"github.com/google/trillian/server/admin"
	"github.com/google/trillian/server/interceptor"
	"github.com/google/trillian/storage/memory"
	"github.com/google/trillian/util/clock"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// sequenceEvery is how often entries that wait are put into the tree.
const sequenceEvery = 50 * time.Millisecond

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve gRPC on")
	flag.Parse()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	if err := serve(ctx, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "trillian:", err)
		os.Exit(1)
	}
}

// serve answers requests until the context ends.
func serve(ctx context.Context, address string) error {
	trees := memory.NewTreeStorage()
	registry := extension.Registry{
		AdminStorage: memory.NewAdminStorage(trees),
		LogStorage:   memory.NewLogStorage(trees, nil),
		QuotaManager: quota.Noop(),
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(interceptor.ErrorWrapper))
	trillian.RegisterTrillianAdminServer(s, admin.New(registry, nil))
	trillian.RegisterTrillianLogServer(s, server.NewTrillianLogRPCServer(registry, clock.System))
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go log.NewOperationManager(log.OperationInfo{
		Registry: registry, BatchSize: 100, NumWorkers: 1, RunInterval: sequenceEvery, TimeSource: clock.System,
	}, log.NewSequencerManager(registry, 0)).OperationLoop(ctx)
	context.AfterFunc(ctx, s.Stop)
	fmt.Println("ready")
	return s.Serve(listener)
}
