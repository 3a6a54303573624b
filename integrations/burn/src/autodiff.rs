//! The backward pass: the call, and nothing else, is what it keeps of the forward pass.

use core::marker::PhantomData;

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::retro_forward::RetroForward;
use burn_autodiff::checkpoint::state::BackwardStates;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn_autodiff::{Autodiff, NodeId};
use wgpu_dropout::Dropout;

use crate::DropoutOps;

#[derive(Debug)]
struct MaskAndScale;

impl<B: Backend + DropoutOps> Backward<B, 1> for MaskAndScale {
    type State = Dropout;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::dropout(grad, ops.state));
    }
}

/// The forward pass again, where gradient checkpointing asks for it: the same bits.
#[derive(Debug)]
struct Again<B> {
    input: NodeId,
    call: Dropout,
    backend: PhantomData<B>,
}

impl<B: Backend + DropoutOps> RetroForward for Again<B> {
    fn forward(&self, states: &mut BackwardStates, out_node: NodeId) {
        let input = states.get_state::<B::FloatTensorPrimitive>(&self.input);
        states.save(out_node, B::dropout(input, self.call));
    }
}

impl<B: Backend + DropoutOps, C: CheckpointStrategy> DropoutOps for Autodiff<B, C> {
    fn dropout(x: FloatTensor<Self>, call: Dropout) -> FloatTensor<Self> {
        let again = Again::<B> {
            input: x.id(),
            call,
            backend: PhantomData,
        };
        let prepared = MaskAndScale
            .prepare::<C>([x.node()])
            .memory_bound()
            .retro_forward(again)
            .parents([&x])
            .stateful();
        let y = B::dropout(x.into_primitive(), call);
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(call, y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}
