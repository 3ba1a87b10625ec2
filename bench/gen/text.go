package gen

import "strconv"

// The words of TPC-H's comments (specification, 4.2.2.13), which make up all texts.
var (
	nouns = []string{
		"packages", "requests", "accounts", "deposits", "foxes", "ideas", "theodolites", "pinto beans", "instructions", "dependencies",
		"excuses", "platelets", "asymptotes", "courts", "dolphins", "multipliers", "sauternes", "warthogs", "frets", "dinos",
		"attainments", "somas", "braids", "hockey players", "frays", "warhorses", "dugouts", "notornis", "epitaphs", "pearls",
		"tithes", "waters", "orbits", "gifts", "sheaves", "depths", "sentiments", "decoys", "realms", "pains", "grouches", "escapades",
	}
	verbs = []string{
		"sleep", "wake", "are", "cajole", "haggle", "nag", "use", "boost", "affix", "detect", "integrate", "maintain", "nod", "was",
		"lose", "sublate", "solve", "thrash", "promise", "engage", "hinder", "print", "x-ray", "breach", "eat", "grow", "impress",
		"mold", "poach", "serve", "run", "dazzle", "snooze", "doze", "unwind", "kindle", "play", "hang", "believe", "doubt",
	}
	adjectives = []string{
		"furious", "sly", "careful", "blithe", "quick", "fluffy", "slow", "quiet", "ruthless", "thin", "close", "dogged", "daring",
		"brave", "stealthy", "permanent", "enticing", "idle", "busy", "regular", "final", "ironic", "even", "bold", "silent",
		"special", "pending", "express", "unusual",
	}
	adverbs = []string{
		"sometimes", "always", "never", "furiously", "slyly", "carefully", "blithely", "quickly", "fluffily", "slowly", "quietly",
		"ruthlessly", "thinly", "closely", "doggedly", "daringly", "bravely", "stealthily", "permanently", "enticingly", "idly",
		"busily", "regularly", "finally", "ironically", "evenly", "boldly", "silently",
	}
	prepositions = []string{
		"about", "above", "according to", "across", "after", "against", "along", "among", "around", "at", "before", "between",
		"beyond", "by", "despite", "during", "except", "for", "from", "in place of", "inside", "instead of", "into", "near", "of",
		"on", "outside", "over", "past", "since", "through", "throughout", "to", "toward", "under", "until", "up", "upon",
		"with", "within",
	}
	terminators = []string{".", ".", ".", ";", ":", "?", "!", "--"}
)

// prose is a text of size bytes, of which texts are pieces, as in TPC-H.
func prose(size int) []byte {
	r := at(seed, 1<<40)
	b := make([]byte, 0, size+256)
	phrase := func() {
		switch r.below(4) {
		case 0:
		case 1:
			b = append(append(b, r.favourite(adjectives)...), ' ')
		case 2:
			b = append(append(b, r.favourite(adjectives)...), ", "...)
			b = append(append(b, r.favourite(adjectives)...), ' ')
		case 3:
			b = append(append(b, r.favourite(adverbs)...), ' ')
			b = append(append(b, r.favourite(adjectives)...), ' ')
		}
		b = append(b, r.favourite(nouns)...)
	}
	for len(b) < size {
		phrase()
		b = append(append(b, ' '), r.favourite(verbs)...)
		if r.below(2) == 0 {
			b = append(append(b, ' '), r.favourite(adverbs)...)
		}
		for r.below(2) == 0 {
			b = append(append(append(b, ' '), r.favourite(prepositions)...), " the "...)
			phrase()
		}
		b = append(append(b, r.of(terminators)...), ' ')
	}
	return b[:size]
}

// appendName appends the name of the thing of a kind with a number: always the same one.
func appendName(b []byte, kind, number uint64) []byte {
	r := at(kind, number)
	lists := [][]string{nouns, verbs, adjectives}
	for words := 1 + r.below(2); words > 0; words-- {
		for _, c := range []byte(r.of(lists[r.below(3)])) {
			if c == ' ' {
				c = '-'
			}
			b = append(b, c)
		}
		if words > 1 {
			b = append(b, '-')
		}
	}
	return strconv.AppendUint(b, number%997, 10)
}

// appendHex appends n random hexadecimal digits.
func appendHex(b []byte, r *random, n int) []byte {
	var x uint64
	for i := range n {
		if i%16 == 0 {
			x = r.next()
		}
		b = append(b, "0123456789abcdef"[x&15])
		x >>= 4
	}
	return b
}
