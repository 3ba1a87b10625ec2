package catalog

import (
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// ErrSchema is the class of changes to a schema that Iceberg does not allow: asking again cannot
// help, another type can.
var ErrSchema = errors.New("not a change that Iceberg allows")

// Promotion is one of the type changes that Iceberg allows: every value keeps its meaning, and data
// files that were written with the old type are read as the new one, unchanged.
type Promotion struct {
	// From and To are types, or examples of them where Note says which others.
	From, To iceberg.Type
	// Version is the first format version that allows it.
	Version int
	// Note limits it, in words; "" where there is nothing to add.
	Note string

	fits func(from, to iceberg.Type) bool
	// moves tells the partition transforms whose values it would change: rows would lie in another
	// partition than their files.
	moves func(iceberg.Transform) bool
}

// Promotions are all of them. Source: iceberg.apache.org/spec/#schema-evolution.
var Promotions = []Promotion{
	{
		From: iceberg.PrimitiveTypes.Int32, To: iceberg.PrimitiveTypes.Int64, Version: 1,
		fits: pair[iceberg.Int32Type, iceberg.Int64Type],
	},
	{
		From: iceberg.PrimitiveTypes.Float32, To: iceberg.PrimitiveTypes.Float64, Version: 1,
		fits: pair[iceberg.Float32Type, iceberg.Float64Type],
	},
	{
		From: iceberg.DecimalTypeOf(10, 2), To: iceberg.DecimalTypeOf(12, 2), Version: 1,
		Note: "any greater precision, the scale as it is",
		fits: func(from, to iceberg.Type) bool {
			f, ok := from.(iceberg.DecimalType)
			t, too := to.(iceberg.DecimalType)
			return ok && too && f.Scale() == t.Scale() && f.Precision() < t.Precision()
		},
	},
	{
		From: iceberg.PrimitiveTypes.Date, To: iceberg.PrimitiveTypes.Timestamp, Version: 3,
		Note: noMoves, moves: dateMoves, fits: pair[iceberg.DateType, iceberg.TimestampType],
	},
	{
		From: iceberg.PrimitiveTypes.Date, To: iceberg.PrimitiveTypes.TimestampNs, Version: 3,
		Note: noMoves, moves: dateMoves, fits: pair[iceberg.DateType, iceberg.TimestampNsType],
	},
}

const noMoves = "unless it is a partition's source by identity or bucket"

func pair[From, To iceberg.Type](from, to iceberg.Type) bool {
	_, ok := from.(From)
	_, too := to.(To)
	return ok && too
}

// dateMoves: a day is its midnight's day, month and year, but as a number and to a hash it is another.
func dateMoves(t iceberg.Transform) bool {
	switch t.(type) {
	case iceberg.YearTransform, iceberg.MonthTransform, iceberg.DayTransform, iceberg.VoidTransform:
		return false
	}
	return true
}

// Promote tells whether a column of a table may change its type: nil where it may, and where the
// types are the same. transforms are those of the table's partition fields, under whatever spec, with
// the column as their source: see TransformsOf. Errors name both types and wrap ErrSchema.
func Promote(from, to iceberg.Type, formatVersion int, transforms ...iceberg.Transform) error {
	if from.Equals(to) {
		return nil
	}
	for _, p := range Promotions {
		if !p.fits(from, to) {
			continue
		}
		if formatVersion < p.Version {
			return fmt.Errorf("%w: %s to %s needs format version %d, and the table has %d", ErrSchema, typeText(from), typeText(to), p.Version, formatVersion)
		}
		for _, t := range transforms {
			if p.moves != nil && p.moves(t) {
				return fmt.Errorf("%w: %s to %s would change the values of the partition transform %s", ErrSchema, typeText(from), typeText(to), t)
			}
		}
		return nil
	}
	return fmt.Errorf("%w: %s to %s", ErrSchema, typeText(from), typeText(to))
}

// TransformsOf returns the transforms of all partition fields, of past specs too, that have the
// column with that id as their source.
func TransformsOf(meta table.Metadata, id int) []iceberg.Transform {
	var out []iceberg.Transform
	for _, spec := range meta.PartitionSpecs() {
		for _, field := range spec.Fields() {
			for _, source := range field.SourceIDs {
				if source == id {
					out = append(out, field.Transform)
				}
			}
		}
	}
	return out
}
