package exec

import (
	"encoding/binary"
	"errors"

	"chancery.dev/tss"
	"chancery.dev/tss/frost"
)

// Released partials travel and are stored as: count (2 bytes), then for each message the length (2 bytes) and the bytes
// of one partial signature, in the order of the messages.

// maxPartial bounds one encoded partial signature in bytes.
const maxPartial = 512

func joinPartials(partials [][]byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(partials)))
	for _, p := range partials {
		out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
		out = append(out, p...)
	}
	return out
}

var errPartials = errors.New("released partial signatures are malformed")

func splitPartials(data []byte, want int) ([][]byte, error) {
	if len(data) < 2 || int(binary.BigEndian.Uint16(data)) != want {
		return nil, errPartials
	}
	data = data[2:]
	out := make([][]byte, 0, want)
	for range want {
		if len(data) < 2 {
			return nil, errPartials
		}
		n := int(binary.BigEndian.Uint16(data))
		if n > maxPartial || len(data) < 2+n {
			return nil, errPartials
		}
		out = append(out, data[2:2+n])
		data = data[2+n:]
	}
	if len(data) != 0 {
		return nil, errPartials
	}
	return out, nil
}

// combineFailed collects every culprit that the engine found.
func combineFailed(err error) error {
	e := &Error{Code: CodeRejected, Step: "publication", Retry: true, Err: err}
	var faults frost.Faults
	var fault *tss.Fault
	switch {
	case errors.As(err, &faults):
		for _, f := range faults {
			e.Parties = append(e.Parties, f.Party)
		}
	case errors.As(err, &fault):
		e.Parties = []tss.PartyID{fault.Party}
	default:
		e.Code, e.Retry = CodeInternal, false
	}
	return e
}
