package cggmp24

import (
	"maps"
	"slices"
	"testing"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// course is a run in lock step: what the machines have put out is delivered all together. It can be stopped before any
// delivery and forked, so that a change late in a run does not cost the whole run.
type course struct {
	machines map[tss.PartyID]stepper
	errs     map[tss.PartyID]error
	pending  []tss.Envelope
	// wire gives what a recipient gets of a message; nil is the message itself.
	wire func(e tss.Envelope, to tss.PartyID) []tss.Envelope
	// last is served after everybody else: the attacker, who rushes.
	last tss.PartyID
	// ended says, after each recipient of a delivery, whether enough has been seen.
	ended func() bool
}

func newCourse(machines map[tss.PartyID]stepper) *course {
	c := &course{machines: machines, errs: map[tss.PartyID]error{}}
	c.drain()
	return c
}

func (c *course) ids() []tss.PartyID { return slices.Sorted(maps.Keys(c.machines)) }

func (c *course) drain() {
	c.pending = nil
	for _, from := range c.ids() {
		for _, e := range c.machines[from].Outbox() {
			if p := presigner(c.machines[from]); p != nil && e.Round == roundAlert {
				e = luckless(p, e)
			}
			c.pending = append(c.pending, e)
		}
	}
}

// luckless makes a liar's Πdec again when it holds by luck: tests have so few repetitions that one in 256 does.
func luckless(p *Presign, e tss.Envelope) tss.Envelope {
	self := p.self()
	mine := p.deltas[self]
	honest := mine.delta.Equal(zk.ScalarOf(p.sec.deltaInt))
	if p.alert == alertChi {
		honest = mine.bigS.Equal(p.gamma.Mul(p.sec.chi))
	}
	if honest {
		return e
	}
	for {
		m, err := p.parseAlert(self, e.Payload, open)
		st := p.decStatement(self, claim{p.alert, p.nonces[self].k, p.gammas[self], p.gamma, mine, p.got, p.sent})
		if err != nil || params.VerifyDec(p.context(self, 0, p.alert.role()), st, m.dec) != nil {
			return e
		}
		if err := p.raise(p.alert); err != nil {
			panic(err)
		}
		e = p.Outbox()[0]
	}
}

// deliver delivers all that is pending, and says whether the run goes on.
func (c *course) deliver() bool {
	type delivery struct {
		e  tss.Envelope
		to tss.PartyID
	}
	var queue []delivery
	for _, e := range c.pending {
		for _, to := range c.ids() {
			if to == e.From || e.To != to && e.To != tss.Everyone {
				continue
			}
			copies := []tss.Envelope{e}
			if c.wire != nil {
				copies = c.wire(e, to)
			}
			for _, m := range copies {
				queue = append(queue, delivery{m, to})
			}
		}
	}
	order := slices.DeleteFunc(c.ids(), func(id tss.PartyID) bool { return id == c.last })
	if c.last != 0 {
		order = append(order, c.last)
	}
	for _, to := range order {
		for _, d := range queue {
			if d.to == to && c.errs[to] == nil {
				c.errs[to] = c.machines[to].Step(d.e)
			}
		}
		if c.ended != nil && c.ended() {
			return false
		}
	}
	c.drain()
	return len(c.pending) > 0
}

func (c *course) finish() {
	for len(c.pending) > 0 && c.deliver() {
	}
}

// carries says whether a message of a round is pending.
func (c *course) carries(round uint8) bool {
	return slices.ContainsFunc(c.pending, func(e tss.Envelope) bool { return e.Round == round })
}

// forkedPresign does not erase at its end what other forks of the same run still need.
type forkedPresign struct{ *Presign }

func (p forkedPresign) Step(e tss.Envelope) error {
	return p.step(e, func() error { return p.whole(p.finish) }, func() {})
}

func (c *course) fork() *course {
	out := &course{machines: map[tss.PartyID]stepper{}, errs: map[tss.PartyID]error{}, pending: slices.Clone(c.pending)}
	for id, m := range c.machines {
		switch m := m.(type) {
		case *Auxiliary:
			f := *m
			f.run = forkRun(m.run, auxShapes(m.session)...)
			f.openings, f.public = maps.Clone(m.openings), maps.Clone(m.public)
			out.machines[id] = &f
		case *Presign:
			out.machines[id] = forkPresign(m)
		case forkedPresign:
			out.machines[id] = forkPresign(m.Presign)
		default:
			panic("no fork of this machine")
		}
	}
	return out
}

func forkRun(r run, shapes ...tss.Shape) run {
	inbox := tss.NewInbox(r.session, shapes...)
	for round := range uint8(len(shapes)) {
		for _, id := range r.session.IDs() {
			if e := r.inbox.Get(round+1, id); e.Round != 0 {
				inbox.Keep(e)
			}
		}
	}
	r.inbox, r.out = inbox, slices.Clone(r.out)
	return r
}

// forkPresign copies a run. Nonces of encryptions are shared while they are needed and dropped afterwards, so that no fork
// erases those of another.
func forkPresign(p *Presign) forkedPresign {
	f := *p
	f.run = forkRun(p.run, presignShapes(p.run.session)...)
	f.nonces, f.gammas, f.sent = maps.Clone(p.nonces), maps.Clone(p.gammas), maps.Clone(p.sent)
	f.got, f.deltas = maps.Clone(p.got), maps.Clone(p.deltas)
	s := &f.sec
	for _, v := range []**group.Scalar{&s.x, &s.k, &s.gamma, &s.a, &s.b, &s.chi} {
		if *v != nil {
			*v = (*v).Clone()
		}
	}
	for _, v := range []**arith.Int{&s.kInt, &s.gammaInt, &s.xInt, &s.deltaInt, &s.chiInt, &s.alpha, &s.alphaHat} {
		if *v != nil {
			*v = arith.NewInt((*v).Reveal())
		}
	}
	if s.deltaInt != nil {
		s.rho, s.nu, s.beta, s.betaHat, s.s, s.sHat, s.r, s.rHat = nil, nil, nil, nil, nil, nil, nil, nil
	}
	return forkedPresign{&f}
}

// adopt makes a machine believe that it sent another message than it did: it echoes it, and goes on with it.
func adopt(m stepper, e tss.Envelope) {
	switch m := m.(type) {
	case *Dealing:
		m.inbox.Keep(e)
	case *Auxiliary:
		m.inbox.Keep(e)
		if o, err := parseAuxOpening(e.Payload); e.Round == roundAuxOpen && err == nil {
			m.opening = o
		}
	case *Presign:
		adopt(forkedPresign{m}, e)
	case forkedPresign:
		m.inbox.Keep(e)
		if d, err := parseDelta(e.Payload); e.Round == roundDelta && err == nil {
			m.deltas[e.From] = d
		}
	}
}

// presigner is the machine below a fork; nil when it is of another protocol.
func presigner(m stepper) *Presign {
	if f, ok := m.(forkedPresign); ok {
		return f.Presign
	}
	p, _ := m.(*Presign)
	return p
}

func steppers[M stepper](machines map[tss.PartyID]M) map[tss.PartyID]stepper {
	out := map[tss.PartyID]stepper{}
	for id, m := range machines {
		out[id] = m
	}
	return out
}

// scenario is one protocol ready to be attacked.
type scenario struct {
	name    string
	context Context
	fields  map[uint8]any // description of the message of each round that is attacked
	start   func(t testing.TB) map[tss.PartyID]stepper
	// costly runs are made once and forked, and stopped as soon as what matters is seen.
	costly bool
	// setup changes messages in every run of the scenario, so that it comes as far as the rounds that are attacked.
	setup func(c *course) func(e tss.Envelope, to tss.PartyID) []tss.Envelope
	stops []*course
	// judged counts the evidence by what was changed and what check it failed.
	judged   map[string]int
	verdicts int
}

// begin starts a run.
func (s *scenario) begin(t testing.TB) *course {
	t.Helper()
	c := newCourse(s.start(t))
	if s.setup != nil {
		c.wire = s.setup(c)
	}
	return c
}

// at gives a run in which messages of a round are about to be delivered.
func (s *scenario) at(t testing.TB, round uint8) *course {
	t.Helper()
	if !s.costly {
		c := s.begin(t)
		for !c.carries(round) && c.deliver() {
		}
		return c
	}
	if s.stops == nil {
		c := s.begin(t)
		for more := true; more; more = c.deliver() {
			s.stops = append(s.stops, c.fork())
		}
	}
	for _, c := range s.stops {
		if c.carries(round) {
			return c.fork()
		}
	}
	t.Fatalf("%s: no message of round %d", s.name, round)
	return nil
}

// scenarios are all protocols among three parties, of which any two can sign, but for presigning among three, which is of a
// key of three.
func scenarios(t testing.TB) []*scenario {
	f, three := keys(t), keysOfThree(t)
	public, reshare := f.shares[1].Public(), Reshare{Dealers: []tss.PartyID{1, 3}, Receivers: []tss.PartyID{2, 3, 4}}
	dealing := map[uint8]any{roundCommit: hashFields{}, roundEcho: echoFields{}, roundOpen: openingFields{}, roundShare: shareFields{}, roundVerdict: verdictFields{}}
	presigning := map[uint8]any{roundNonces: nonceFields{}, roundNonces2: echoFields{}, roundEncElg: encElgFields{}, roundGamma: gammaFields{},
		roundAffine: affineFields{}, roundDelta: deltaFields{}, roundDelta2: echoFields{}}
	return []*scenario{
		{name: "keygen", fields: dealing, context: Context{Protocol: ProtocolKeygen, Session: testSession("keygen", 2, 1, ids(3)...), Open: open},
			start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startKeygen(t, 2, ids(3))) }},
		{name: "refresh", fields: dealing, context: Context{Protocol: ProtocolRefresh, Session: testSession("refresh", 2, 1, ids(3)...), Public: public, Open: open},
			start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startRefresh(t, f.shares)) }},
		{name: "reshare", fields: dealing, context: Context{Protocol: ProtocolReshare, Session: testSession("reshare", 2, 1, ids(4)...), Public: public, Reshare: reshare, Open: open},
			start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startReshare(t, f.shares, reshare, 2)) }},
		{name: "auxiliary", costly: true, context: Context{Protocol: ProtocolAuxiliary, Session: testSession("aux", 2, 1, ids(3)...), Open: open},
			fields: map[uint8]any{roundAuxCommit: hashFields{}, roundAuxEcho: echoFields{}, roundAuxOpen: auxOpeningFields{}, roundAuxMod: modFields{},
				roundAuxFac: facFields{}, roundAuxConfirm: hashFields{}},
			start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startAux(t, ids(3))) }},
		{name: "presign", costly: true, fields: presigning, context: presignContext(three, 1, 2, 3),
			start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startPresign(t, three, 1, 2, 3)) }},
		{name: "sums", costly: true, fields: map[uint8]any{roundDelta: deltaFields{}}, context: presignContext(f, 1, 2),
			start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startPresign(t, f, 1, 2)) }},
		{name: "alert", costly: true, fields: map[uint8]any{roundAlert: alertFields{}}, context: presignContext(f, 1, 2), setup: lieInDelta(2),
			start: func(t testing.TB) map[tss.PartyID]stepper { return steppers(startPresign(t, f, 1, 2)) }},
	}
}

// presignContext holds public keys only.
func presignContext(f fixture, signers ...tss.PartyID) Context {
	return Context{Protocol: ProtocolPresign, Session: testSession("presign", len(signers), signers[0], signers...), Public: f.shares[1].Public(),
		Keys: f.aux[1].PublicKeys(), Open: open}
}

// lieInDelta makes a party add one to its δ, and believe it.
func lieInDelta(liar tss.PartyID) func(c *course) func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
	return lieIn(liar, func(d *deltaMessage) { d.delta = d.delta.Add(curve.ScalarFromUint64(1)) })
}

// lieIn makes a party change what it says in round 6, and believe it.
func lieIn(liar tss.PartyID, change func(*deltaMessage)) func(c *course) func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
	return func(c *course) func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		var changed *tss.Envelope
		return func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
			if e.From != liar || e.Round != roundDelta {
				return []tss.Envelope{e}
			}
			if changed == nil {
				d, err := parseDelta(e.Payload)
				if err != nil {
					panic(err)
				}
				change(&d)
				e.Payload = d.marshal()
				e.Signed = seal(e)
				changed = &e
				adopt(c.machines[liar], e)
			}
			return []tss.Envelope{*changed}
		}
	}
}
