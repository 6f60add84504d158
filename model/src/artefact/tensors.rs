//! Typed arrays to and from the container, each read with the type and the shape that it must have.
//!
//! Everything is little-endian, as the container prescribes, on any machine. Values are copied out: a model is tens
//! of kilobytes and loaded once, so zero-copy views would buy nothing and tie the model to the buffer's lifetime.

use super::error::ArtefactError;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, View};
use std::borrow::Cow;

/// One tensor to be written.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Tensor {
    pub(super) fn f32(name: &'static str, shape: &[usize], values: &[f32]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F32, shape: shape.to_vec(), data }
    }

    pub(super) fn u8(name: &'static str, values: &[u8]) -> Self {
        Self { name, dtype: Dtype::U8, shape: vec![values.len()], data: values.to_vec() }
    }

    pub(super) fn u16(name: &'static str, values: &[u16]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::U16, shape: vec![values.len()], data }
    }

    pub(super) fn u64(name: &'static str, values: &[u64]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::U64, shape: vec![values.len()], data }
    }

    pub(super) fn f64(name: &'static str, values: &[f64]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F64, shape: vec![values.len()], data }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

impl View for &Tensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// The tensors of a file, and which of them were asked for.
pub(super) struct Tensors<'a> {
    container: &'a SafeTensors<'a>,
    read: Vec<&'static str>,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(container: &'a SafeTensors<'a>) -> Self {
        Self { container, read: Vec::new() }
    }

    fn view(&mut self, name: &'static str, dtype: Dtype) -> Result<TensorView<'a>, ArtefactError> {
        self.read.push(name);
        let refused = |problem: String| ArtefactError::Tensor { tensor: name.to_owned(), problem };
        let view = self.container.tensor(name).map_err(|_| refused("missing".to_owned()))?;
        if view.dtype() != dtype {
            return Err(refused(format!("of type {:?}, {dtype:?} is needed", view.dtype())));
        }
        Ok(view)
    }

    /// A vector of any length.
    fn flat(&mut self, name: &'static str, dtype: Dtype) -> Result<&'a [u8], ArtefactError> {
        let view = self.view(name, dtype)?;
        if view.shape().len() != 1 {
            let problem = format!("of shape {:?}, one dimension is needed", view.shape());
            return Err(ArtefactError::Tensor { tensor: name.to_owned(), problem });
        }
        Ok(view.data())
    }

    pub(super) fn u8(&mut self, name: &'static str) -> Result<Vec<u8>, ArtefactError> {
        Ok(self.flat(name, Dtype::U8)?.to_vec())
    }

    pub(super) fn u16(&mut self, name: &'static str) -> Result<Vec<u16>, ArtefactError> {
        Ok(self.flat(name, Dtype::U16)?.as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn u64(&mut self, name: &'static str) -> Result<Vec<u64>, ArtefactError> {
        Ok(self.flat(name, Dtype::U64)?.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn f64(&mut self, name: &'static str) -> Result<Vec<f64>, ArtefactError> {
        Ok(self.flat(name, Dtype::F64)?.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    /// Numbers in exactly this shape.
    pub(super) fn f32(&mut self, name: &'static str, shape: &[usize]) -> Result<Vec<f32>, ArtefactError> {
        let (values, found) = self.f32_any(name)?;
        if found != shape {
            let expected = shape.iter().fold(1usize, |product, side| product.saturating_mul(*side));
            let shape = shape.to_vec();
            return Err(ArtefactError::WrongShape { tensor: name, found: values.len(), expected, shape });
        }
        Ok(values)
    }

    /// Numbers in whatever shape they are.
    pub(super) fn f32_any(&mut self, name: &'static str) -> Result<(Vec<f32>, Vec<usize>), ArtefactError> {
        let view = self.view(name, Dtype::F32)?;
        let values = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok((values, view.shape().to_vec()))
    }

    /// Length of a vector of 64-bit hashes.
    pub(super) fn len_of(&mut self, name: &'static str) -> Result<usize, ArtefactError> {
        Ok(self.u64(name)?.len())
    }

    /// Refuses tensors that nothing asked for.
    pub(super) fn refuse_others(&self) -> Result<(), ArtefactError> {
        match self.container.names().into_iter().filter(|name| !self.read.contains(name)).min() {
            Some(name) => {
                let problem = "not known to this format version".to_owned();
                Err(ArtefactError::Tensor { tensor: name.to_owned(), problem })
            }
            None => Ok(()),
        }
    }
}
