package source

import (
	"errors"
	"io"
	"os"
)

// spoolMemory is how much of a pipe is kept in memory before a file takes it.
const spoolMemory = 4 << 20

// spool keeps the bytes of a pipe for a second reading. The zero value keeps them in memory, and
// in an unnamed file of dir from spoolMemory on. It is not safe for concurrent use.
type spool struct {
	dir    string
	memory []byte
	file   *os.File
	size   int64
	end    bool // the pipe had no more
}

func (s *spool) write(b []byte) error {
	if s.file == nil && len(s.memory)+len(b) <= spoolMemory {
		s.memory = append(s.memory, b...)
		s.size += int64(len(b))
		return nil
	}
	if s.file == nil {
		file, err := os.CreateTemp(s.dir, "icewright-stdin-*")
		if err != nil {
			return err
		}
		s.file = file
		// Unlinked at once, where the system lets us: no death of this process leaves it behind.
		_ = os.Remove(file.Name())
		if _, err := file.Write(s.memory); err != nil {
			return err
		}
		s.memory = nil
	}
	n, err := s.file.Write(b)
	s.size += int64(n)
	return err
}

func (s *spool) readAt(b []byte, offset int64) (int, error) {
	if s.file == nil {
		return copy(b, s.memory[offset:]), nil
	}
	n, err := s.file.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (s *spool) close() error {
	s.memory = nil
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file, s.size = nil, 0
	err := file.Close()
	_ = os.Remove(file.Name()) // gone already, save where an open file cannot be unlinked
	return err
}
