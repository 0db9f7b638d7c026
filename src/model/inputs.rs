//! What the linear maps of a layer read.

use candle_core::{Result, Tensor};

use super::batch::Batch;
use super::decoder::Decoder;
use super::holder::Holder;
use super::mlp::Seen;
use super::role::Role;
use super::trace::Unobserved;

impl Decoder {
    /// Runs one layer on the residual stream before it, [rows, hidden]: the stream after it, and what
    /// its linear maps read, [rows, in], each under the role that [`Role::reads_with`] gives.
    pub(crate) fn inputs_of_layer(
        &self,
        layer: usize,
        hidden: Tensor,
        batch: &Batch,
    ) -> Result<(Tensor, Vec<(Role, Tensor)>)> {
        let mut watched = self.clone();
        let table = self.parameters.clone();
        let own = table.iter().filter(|slot| slot.layer == Some(layer) && slot.is_matrix());
        let mut seen = Vec::new();
        for slot in own.filter(|slot| slot.role.reads_with() == Some(slot.role)) {
            if let Holder::Linear(projection) = watched.holder(slot) {
                let rows = Seen::default();
                projection.seen = Some(rows.clone());
                seen.push((slot.role, rows));
            }
        }
        let after = watched.run_layers(layer..layer + 1, hidden, batch, None, &mut Unobserved)?;
        let read = |(role, rows): (Role, Seen)| Some((role, rows.take()?.detach()));
        let after = after.expect("an unobserved run does not stop");
        Ok((after, seen.into_iter().filter_map(read).collect()))
    }
}
