package mesh

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"chancery.dev/internal/pki"
)

// Records on a link's one stream: type, then for data a sequence number, a length and a frame; for an acknowledgement a
// sequence number. The first record of each side is its hello: its incarnation (random, one for each process), the
// incarnation of the other side that it knows, and the last sequence number that it took from it.
const (
	recordData = 1
	recordAck  = 2
	helloLen   = 16 + 16 + 8
)

// link is what lasts between this node and one peer while connections come and go: the frames that the peer has not
// acknowledged, and the last that was taken from it.
type link struct {
	peer pki.Node
	mine [16]byte // this process's incarnation

	mu       sync.Mutex
	queue    []queued // ascending by sequence, unacknowledged
	bytes    int
	next     uint64 // sequence of the last queued frame
	theirs   [16]byte
	received uint64 // last sequence taken from the peer
	acked    uint64 // last acknowledgement sent
	conn     *quic.Conn
	since    time.Time
	lastErr  error
	refused  int

	wake chan struct{} // capacity 1: something to write
	turn sync.Mutex    // held by the one conversation that runs
}

type queued struct {
	seq   uint64
	frame []byte
}

func newLink(peer pki.Node, mine [16]byte) *link {
	return &link{peer: peer, mine: mine, wake: make(chan struct{}, 1)}
}

// enqueue keeps a frame until the peer has it.
func (l *link) enqueue(frame []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxQueueFrames || l.bytes+len(frame) > maxQueueBytes {
		return refuse(CodeQueueFull, "queue for %s is full", l.peer.ID)
	}
	l.next++
	l.queue = append(l.queue, queued{l.next, frame})
	l.bytes += len(frame)
	l.poke()
	return nil
}

func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// forget drops frames that the peer has.
func (l *link) forget(upTo uint64) {
	i := 0
	for i < len(l.queue) && l.queue[i].seq <= upTo {
		l.bytes -= len(l.queue[i].frame)
		i++
	}
	l.queue = append(l.queue[:0:0], l.queue[i:]...)
}

// greet exchanges hellos on a fresh stream and settles what each side has.
func (l *link) greet(stream *quic.Stream) error {
	if err := stream.SetDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	l.mu.Lock()
	hello := append(append([]byte(nil), l.mine[:]...), l.theirs[:]...)
	hello = binary.BigEndian.AppendUint64(hello, l.received)
	l.mu.Unlock()
	if _, err := stream.Write(hello); err != nil {
		return fmt.Errorf("send hello: %w", err)
	}
	got := make([]byte, helloLen)
	if _, err := io.ReadFull(stream, got); err != nil {
		return fmt.Errorf("read hello: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if theirs := [16]byte(got[:16]); theirs != l.theirs {
		l.theirs, l.received, l.acked = theirs, 0, 0
	}
	if [16]byte(got[16:32]) == l.mine {
		l.forget(binary.BigEndian.Uint64(got[32:]))
	}
	return stream.SetDeadline(time.Time{})
}

// write sends queued frames and acknowledgements until the stream or ctx ends.
func (l *link) write(ctx context.Context, stream *quic.Stream) error {
	out := bufio.NewWriterSize(stream, 64<<10)
	var sent uint64
	for {
		frame, seq, ack := l.pending(sent)
		if ack != 0 {
			if _, err := out.Write(binary.BigEndian.AppendUint64([]byte{recordAck}, ack)); err != nil {
				return err
			}
		}
		if frame != nil {
			head := binary.BigEndian.AppendUint64([]byte{recordData}, seq)
			head = binary.BigEndian.AppendUint32(head, uint32(len(frame)))
			if _, err := out.Write(append(head, frame...)); err != nil {
				return err
			}
			sent = seq
			continue
		}
		if err := out.Flush(); err != nil {
			return err
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pending is the next frame after sent, if there is one, and an acknowledgement that is due.
func (l *link) pending(sent uint64) (frame []byte, seq, ack uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.queue {
		if q.seq > sent {
			frame, seq = q.frame, q.seq
			break
		}
	}
	if l.received > l.acked && (frame == nil || l.received-l.acked >= ackEvery) {
		l.acked, ack = l.received, l.received
	}
	return frame, seq, ack
}

// read takes records until the stream ends. Each frame is handed to take once and in order; take says whether it was good.
func (l *link) read(stream *quic.Stream, take func(frame []byte) error) error {
	in := bufio.NewReaderSize(stream, 64<<10)
	head := make([]byte, 13)
	for {
		if _, err := io.ReadFull(in, head[:9]); err != nil {
			return err
		}
		seq := binary.BigEndian.Uint64(head[1:9])
		switch head[0] {
		case recordAck:
			l.mu.Lock()
			l.forget(seq)
			l.mu.Unlock()
			continue
		case recordData:
		default:
			return refuse(CodeMalformed, "record of an unknown type")
		}
		if _, err := io.ReadFull(in, head[9:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(head[9:])
		if n > maxFrame {
			return refuse(CodeTooLarge, "peer announces a frame of %d bytes", n)
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		if l.fresh(seq) {
			if err := take(frame); err != nil {
				if err := l.strike(err); err != nil {
					return err
				}
			}
			l.took(seq)
		}
	}
}

func (l *link) fresh(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return seq > l.received
}

func (l *link) took(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.received = seq
	l.poke()
}

// strike counts a refused frame against the link's peer, and ends the link after too many.
func (l *link) strike(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused++
	l.lastErr = err
	if l.refused%maxViolations == 0 {
		return fmt.Errorf("%d frames of %s were refused: %w", l.refused, l.peer.ID, err)
	}
	return nil
}

// attach makes conn the link's connection; an older one is closed, for the peer has given it up.
func (l *link) attach(conn *quic.Conn, now time.Time) {
	l.mu.Lock()
	old := l.conn
	l.conn, l.since, l.lastErr = conn, now, nil
	l.mu.Unlock()
	if old != nil {
		_ = old.CloseWithError(0, "replaced") // it is dead or about to be
	}
}

func (l *link) detach(conn *quic.Conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && !errors.Is(err, context.Canceled) {
		l.lastErr = err
	}
	if l.conn == conn {
		l.conn = nil
	}
}

func (l *link) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastErr = err
}
