package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"chancery.dev/internal/exec"
	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/secret"
	"chancery.dev/tss"
)

// making is the run of presigning that this node takes part in: one at a time.
type making struct {
	running bool
	signers []uint16
	done    int
	total   int
	err     error
}

// pooled is the wallet's key when it has presignatures, and whether it has.
func (n *Node) pooled(ctx context.Context) (intent.KeyID, bool, error) {
	key, err := n.walletKey(ctx)
	if err != nil {
		return key, false, err
	}
	public, err := n.executor.Load(key)
	return key, err == nil && public.Protocol() == exec.ProtocolCGGMP24, err
}

// MakePresignatures starts a run among this node and the nodes that a payment of it would sign with.
func (n *Node) MakePresignatures(ctx context.Context, count int) (httpapi.Pool, error) {
	key, has, err := n.pooled(ctx)
	if err != nil {
		return httpapi.Pool{}, err
	}
	if !has {
		return httpapi.Pool{}, refuse(CodeInvalid, "presign", "only an ECDSA key has presignatures")
	}
	signers, err := n.signersNow(key)
	if err != nil {
		return httpapi.Pool{}, err
	}
	p := presign{Key: key, Signers: signers, Label: [32]byte(secret.Random(32).Reveal()), Count: count}
	if err := n.beginMaking(p); err != nil {
		return httpapi.Pool{}, err
	}
	payload, err := encode(p)
	if err != nil {
		return httpapi.Pool{}, err
	}
	n.broadcast(ctx, kindPresign, payload)
	return n.Pool(ctx)
}

// signersNow is the set that a payment led by this node would have: itself and the reachable nodes, by number.
func (n *Node) signersNow(key intent.KeyID) ([]uint16, error) {
	public, err := n.executor.Load(key)
	if err != nil {
		return nil, err
	}
	signers := []uint16{uint16(n.self)}
	reach := n.connected()
	for _, e := range n.roster.Nodes {
		if id := tss.PartyID(e.Party); id != n.self && slices.Contains(reach, id) && len(signers) < public.Threshold() {
			signers = append(signers, e.Party)
		}
	}
	if len(signers) < public.Threshold() {
		return nil, refuse(CodeQuorumMissing, "presign", "%d of %d signers can be reached", len(signers), public.Threshold())
	}
	slices.Sort(signers)
	return signers, nil
}

// beginMaking checks a call for presignatures, this node's own or a peer's, and starts this node's part.
func (n *Node) beginMaking(p presign) error {
	public, err := n.executor.Load(p.Key)
	if err != nil {
		return err
	}
	signers := make([]tss.PartyID, len(p.Signers))
	for i, s := range p.Signers {
		signers[i] = tss.PartyID(s)
		if i > 0 && s <= p.Signers[i-1] {
			return refuse(CodeInvalid, "presign", "signers are not ascending")
		}
	}
	if public.Protocol() != exec.ProtocolCGGMP24 || len(signers) != public.Threshold() || !slices.Contains(signers, n.self) || p.Count < 1 || p.Count > exec.MaxPresign {
		return refuse(CodeInvalid, "presign", "call does not fit the key, this node or the bounds")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing || n.making.running {
		return refuse(CodeBusy, "presign", "presignatures are being made")
	}
	n.making = making{running: true, signers: p.Signers, total: p.Count}
	n.wait.Add(1)
	go func() {
		defer n.wait.Done()
		err := n.executor.Presign(n.ctx, p.Key, signers, p.Label, p.Count, func(done int) {
			n.mu.Lock()
			n.making.done = done
			n.mu.Unlock()
		})
		n.mu.Lock()
		n.making.running, n.making.err = false, err
		n.mu.Unlock()
		if err != nil && n.ctx.Err() == nil {
			n.log.Warn("presigning ended early", "error", err)
		}
	}()
	return nil
}

// presigned is a peer's call.
func (n *Node) presigned(from tss.PartyID, payload []byte) error {
	p, err := decode[presign](payload)
	if err != nil {
		return err
	}
	if !slices.Contains(p.Signers, uint16(n.self)) {
		return nil // a call for others
	}
	if !slices.Contains(p.Signers, uint16(from)) {
		return refuse(CodeInvalid, "presign", "caller is not among the signers")
	}
	return n.beginMaking(p)
}

// Pool is this node's stock of presignatures, and the run that is under way or was the last.
func (n *Node) Pool(ctx context.Context) (httpapi.Pool, error) {
	out := httpapi.Pool{Sets: []httpapi.PoolSet{}, Target: n.config.Presign.Target}
	key, has, err := n.pooled(ctx)
	if err != nil {
		return out, err
	}
	n.mu.Lock()
	m := n.making
	n.mu.Unlock()
	out.Running, out.Done, out.Total = m.running, m.done, m.total
	if m.err != nil {
		out.LastError = codeOf(m.err)
	}
	if !has {
		return out, nil
	}
	stock, err := n.executor.Pool(key)
	for _, s := range stock {
		set := httpapi.PoolSet{Signers: []string{}, Presignatures: []string{}}
		for _, id := range s.Signers {
			set.Signers = append(set.Signers, n.name(uint16(id)))
		}
		for _, id := range s.IDs {
			set.Presignatures = append(set.Presignatures, id.String())
		}
		out.Sets = append(out.Sets, set)
	}
	return out, err
}

// refill keeps the pool of the set that this node leads between its bounds. The lowest node of a set sees to it.
func (n *Node) refill(ctx context.Context) {
	tick := time.NewTicker(time.Duration(n.config.Presign.Every))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.used:
		}
		if err := n.refillOnce(ctx); err != nil && ctx.Err() == nil {
			n.log.Debug("pool not refilled", "error", err)
		}
	}
}

func (n *Node) refillOnce(ctx context.Context) error {
	key, has, err := n.pooled(ctx)
	if err != nil || !has {
		return err
	}
	signers, err := n.signersNow(key)
	if err != nil || signers[0] != uint16(n.self) {
		return err
	}
	stock, err := n.executor.StockOf(key, partiesOf(signers))
	if err != nil || len(stock) >= n.config.Presign.RefillBelow {
		return err
	}
	_, err = n.MakePresignatures(ctx, min(n.config.Presign.Batch, n.config.Presign.Target-len(stock)))
	return err
}

func partiesOf(in []uint16) []tss.PartyID {
	out := make([]tss.PartyID, len(in))
	for i, p := range in {
		out[i] = tss.PartyID(p)
	}
	return out
}

// stocked is a set of signers that has presignatures for a payment: all of them can be reached, none has failed, and none
// has said no. Whether one that has not answered yet agrees is its own decision: it executes with the certificate or not at all.
func (n *Node) stocked(c *course, without map[tss.PartyID]bool) []uint16 {
	s, ok := c.intent.Params.(intent.Spend)
	if !ok {
		return nil
	}
	pool, err := n.executor.Pool(c.intent.Key)
	if err != nil {
		return nil
	}
	fit := append(n.connected(), n.self)
	for _, b := range c.tally.Ballots() {
		if !b.Yes {
			fit = slices.DeleteFunc(fit, func(p tss.PartyID) bool { return p == tss.PartyID(b.Voter) })
		}
	}
	for _, stock := range pool {
		lacking := slices.ContainsFunc(stock.Signers, func(p tss.PartyID) bool { return without[p] || !slices.Contains(fit, p) })
		if lacking || len(stock.IDs) < len(s.Inputs) || !slices.Contains(stock.Signers, n.self) {
			continue
		}
		var out []uint16
		for _, p := range stock.Signers {
			out = append(out, uint16(p))
		}
		return out
	}
	return nil
}

// fromStock names a presignature for each input of a payment, when the set has enough of them; otherwise they are made in
// one go.
func (n *Node) fromStock(c *course, signers []uint16) [][]byte {
	s, ok := c.intent.Params.(intent.Spend)
	if !ok {
		return nil
	}
	public, err := n.executor.Load(c.intent.Key)
	if err != nil || public.Protocol() != exec.ProtocolCGGMP24 {
		return nil
	}
	stock, err := n.executor.StockOf(c.intent.Key, partiesOf(signers))
	if err != nil || len(stock) < len(s.Inputs) {
		return nil
	}
	out := make([][]byte, len(s.Inputs))
	for i := range out {
		out[i] = stock[i][:]
	}
	return out
}

// assign gives each message the presignature that the call names for it.
func assign(messages []exec.Message, named [][]byte) error {
	if len(named) == 0 {
		return nil
	}
	if len(named) != len(messages) {
		return errors.New("as many presignatures as inputs are needed")
	}
	seen := map[exec.PresignatureID]bool{}
	for i, raw := range named {
		if len(raw) != 32 || seen[exec.PresignatureID(raw)] {
			return errors.New("a presignature is malformed or named twice")
		}
		id := exec.PresignatureID(raw)
		seen[id], messages[i].Presignature = true, &id
	}
	return nil
}

// noteUse wakes the refilling after a payment.
func (n *Node) noteUse() {
	select {
	case n.used <- struct{}{}:
	default:
	}
}
