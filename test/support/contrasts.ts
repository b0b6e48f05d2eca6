/**
 * An expression for the page: the texts, values and placeholders of visible elements whose contrast
 * with their background is less than 4.5 (WCAG 2, 1.4.3), one line each.
 */
export const LOW_CONTRASTS = `(async () => {
  await Promise.allSettled(document.getAnimations().map(({ finished }) => finished)); // transitions of colours
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((channel, i) => channel * a + under[i] * (1 - a));
  const luminance = (colour) => colour.map((channel) => channel / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const background = (element) => element
    ? over(channels(getComputedStyle(element).backgroundColor), background(element.parentElement))
    : [255, 255, 255];
  const opacity = (element) => element ? getComputedStyle(element).opacity * opacity(element.parentElement) : 1;
  const contrast = (element, pseudo) => {
    const under = background(element);
    const [r, g, b, a = 1] = channels(getComputedStyle(element, pseudo).color);
    const [one, other] = [over([r, g, b, a * opacity(element)], under), under].map(luminance);
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  };
  const low = new Set();
  const note = (element, pseudo) => {
    const value = contrast(element, pseudo);
    const text = (element.value || element.textContent || element.placeholder || '').trim().slice(0, 40);
    if (value < 4.5) low.add([value.toFixed(2), element.tagName, element.className, pseudo, text].join(' '));
  };
  for (const element of document.querySelectorAll('body *')) {
    if (!element.checkVisibility() || element.closest('script, option, svg')) continue;
    const isField = element.matches('input, textarea, select');
    if (isField || [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) note(element);
    if (isField && element.placeholder && !element.value) note(element, '::placeholder');
  }
  return [...low];
})()`;
