package evidence

import (
	"time"

	"chancery.dev/internal/intent"
	"chancery.dev/internal/quorum"
)

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// Writer continues the chains of one node. It is used by one goroutine at a time.
type Writer struct {
	Cluster quorum.Digest
	Epoch   uint64
	Node    uint16
	Signer  quorum.Signer
	Now     func() time.Time
}

// Append signs the next receipt of a chain and returns the longer chain. The caller stores it.
func (w Writer) Append(c Chain, id intent.ID, step Step, detail map[string]string, cert *quorum.Certificate) (Chain, error) {
	r := Receipt{
		Cluster: w.Cluster, Epoch: w.Epoch, Node: w.Node, Intent: id, Step: step, Sequence: uint32(len(c)),
		Unix: w.Now().Unix(), Detail: detail, Certificate: cert,
	}
	if len(c) > 0 {
		r.Previous = c[len(c)-1].LinkOf()
	}
	signed, err := Sign(r, w.Signer)
	if err != nil {
		return c, err
	}
	return append(c[:len(c):len(c)], signed), nil
}
