//! How the rows and columns of a tensor in a GGUF file relate to those of the Hugging Face tensor,
//! and the way from one to the other.

/// How the stored rows and columns relate to those of the Hugging Face tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As in the Hugging Face tensor.
    Same,
    /// llama.cpp rotates neighbouring rows of a head, Hugging Face rotates row j
    /// with row j + d/2: stored row 2j + p of a head is row p·d/2 + j here.
    RotaryPairs,
    /// Each head's query, key and value lie together here; stored are all queries, then all keys,
    /// then all values (GPT-NeoX).
    HeadsApart,
    /// Stored are the numbers and 1 (Gemma's norms).
    OneMore,
    /// Rows are columns here (GPT-2 multiplies x·W with W [in, out]).
    Transposed,
}

/// A tensor of a GGUF file: how it is ordered, and the sizes that this takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ordered {
    pub(super) order: Order,
    /// Length of a row in the file.
    pub(super) columns: usize,
    /// Width of a head.
    pub(super) head: usize,
}

impl Ordered {
    /// Numbers of so many whole rows as come near `count`.
    pub(super) fn rows(self, count: usize) -> usize {
        self.columns * (count / self.columns).max(1)
    }

    /// How many of all `elements` can be put in order at once: near `count` where the order of a
    /// part depends on no other, else all.
    pub(super) fn step(self, elements: usize, count: usize) -> usize {
        match self.order {
            Order::Same | Order::OneMore => self.rows(count),
            Order::RotaryPairs => {
                let head = self.head * self.columns;
                head * (count / head).max(1)
            }
            Order::HeadsApart | Order::Transposed => elements.max(1),
        }
    }

    /// Numbers of the Hugging Face tensor, in the order of the file.
    pub(super) fn to_file(self, values: Vec<f32>) -> Vec<f32> {
        match self.order {
            Order::Same => values,
            Order::RotaryPairs => join_pairs(&values, self.head, self.columns),
            Order::HeadsApart => self.by_heads(&values, |heads, place| {
                let (part, head) = (place / heads, place % heads);
                head * PARTS + part
            }),
            Order::OneMore => values.into_iter().map(|value| value + 1.).collect(),
            Order::Transposed => transpose(&values, values.len() / self.columns),
        }
    }

    /// Numbers of the file, in the order of the Hugging Face tensor.
    pub(super) fn to_model(self, values: Vec<f32>) -> Vec<f32> {
        match self.order {
            Order::Same => values,
            Order::RotaryPairs => split_pairs(&values, self.head, self.columns),
            Order::HeadsApart => self.by_heads(&values, |heads, place| {
                let (head, part) = (place / PARTS, place % PARTS);
                part * heads + head
            }),
            Order::OneMore => values.into_iter().map(|value| value - 1.).collect(),
            Order::Transposed => transpose(&values, self.columns),
        }
    }

    /// Queries, keys and values of whole heads in another order: `source` gives, of so many heads,
    /// the one that goes to a place.
    fn by_heads(self, values: &[f32], source: impl Fn(usize, usize) -> usize) -> Vec<f32> {
        let all = values.len() / (self.head * self.columns);
        rearranged(values, all, self.head * self.columns, |place| source(all / PARTS, place))
    }
}

/// Queries, keys and values.
const PARTS: usize = 3;

/// Rows of whole heads, from pairs of neighbours to halves: see [`Order::RotaryPairs`].
pub(super) fn split_pairs<T: Copy>(rows: &[T], head: usize, row: usize) -> Vec<T> {
    let places = |place: usize| 2 * (place % (head / 2)) + place / (head / 2);
    rearranged(rows, head, row, places)
}

/// Rows of whole heads, from halves to pairs of neighbours.
fn join_pairs<T: Copy>(rows: &[T], head: usize, row: usize) -> Vec<T> {
    rearranged(rows, head, row, |place| place % 2 * (head / 2) + place / 2)
}

/// The rows of each head in another order: `source` gives the row that goes to a place.
fn rearranged<T: Copy>(
    rows: &[T],
    head: usize,
    row: usize,
    source: impl Fn(usize) -> usize,
) -> Vec<T> {
    let mut out = Vec::with_capacity(rows.len());
    for rows in rows.chunks(head * row) {
        for place in 0..head {
            out.extend_from_slice(&rows[source(place) * row..][..row]);
        }
    }
    out
}

/// Transposes [rows, columns] to [columns, rows].
pub(super) fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    let mut transposed = Vec::with_capacity(values.len());
    for column in 0..columns {
        transposed.extend(values.iter().skip(column).step_by(columns));
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_neighbours_become_halves_within_each_head() {
        let stored: Vec<u8> = (0..8).flat_map(|row| [row, 100 + row]).collect();
        let rows: Vec<u8> = split_pairs(&stored, 4, 2).chunks(2).map(|row| row[0]).collect();
        assert_eq!(rows, [0, 2, 1, 3, 4, 6, 5, 7]);
    }

    #[test]
    fn transposing_turns_rows_into_columns() {
        assert_eq!(transpose(&[1., 2., 3., 4., 5., 6.], 3), [1., 4., 2., 5., 3., 6.]);
    }

    #[test]
    fn queries_keys_and_values_of_all_heads_follow_each_other_in_a_file() {
        let ordered = Ordered { order: Order::HeadsApart, columns: 1, head: 2 };
        // Head, part and row of each, as one number.
        let folder = [0., 1., 10., 11., 20., 21., 100., 101., 110., 111., 120., 121.];
        let file = [0., 1., 100., 101., 10., 11., 110., 111., 20., 21., 120., 121.];
        assert_eq!(ordered.to_file(folder.to_vec()), file);
    }

    #[test]
    fn pieces_in_order_are_the_whole_in_order() {
        let values: Vec<f32> = (0..96).map(|value| value as f32).collect();
        let rows = [
            (Order::Same, 10),
            (Order::OneMore, 10),
            (Order::RotaryPairs, 24),
            (Order::HeadsApart, 96),
            (Order::Transposed, 96),
        ];
        for (order, step) in rows {
            let ordered = Ordered { order, columns: 2, head: 4 };
            assert_eq!(ordered.step(96, 10 + 16 * usize::from(step == 24)), step, "{order:?}");
            let pieces = values.chunks(step).flat_map(|piece| ordered.to_file(piece.to_vec()));
            assert_eq!(pieces.collect::<Vec<_>>(), ordered.to_file(values.clone()), "{order:?}");
        }
    }

    #[test]
    fn there_and_back_is_where_it_began() {
        let values: Vec<f32> = (0..48).map(|value| value as f32).collect();
        let all = [Order::RotaryPairs, Order::HeadsApart, Order::OneMore, Order::Transposed];
        for order in all.into_iter().chain([Order::Same]) {
            let ordered = Ordered { order, columns: 2, head: 4 };
            let file = ordered.to_file(values.clone());
            assert_eq!(file == values, order == Order::Same, "{order:?}");
            assert_eq!(ordered.to_model(file), values, "{order:?}");
        }
    }
}
